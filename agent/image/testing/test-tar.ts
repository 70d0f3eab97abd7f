/** For tests: layers, written entry by entry, so that they can be wrong. */
import { encodePax, paddingOf, sealHeader } from "../tar-header.ts";

export interface TestEntry {
  readonly name: string;
  /** tar's type flag; "0", a file, where it is not given. */
  readonly type?: string;
  readonly content?: string | Buffer;
  readonly linkName?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly device?: readonly [major: number, minor: number];
  readonly pax?: Readonly<Record<string, string>>;
}

export function tarOf(entries: readonly TestEntry[]): Buffer {
  return Buffer.concat([...entries.flatMap(tarEntry), Buffer.alloc(1024)]);
}

function tarEntry(entry: TestEntry): Buffer[] {
  const content = Buffer.from(entry.content ?? "");
  const header = Buffer.alloc(512);
  const octal = (value: number, offset: number) =>
    header.write(`${value.toString(8).padStart(7, "0")}\0`, offset, "latin1");
  header.write(entry.name, 0, 100);
  octal(entry.mode ?? 0o644, 100);
  octal(entry.uid ?? 0, 108);
  octal(entry.gid ?? 0, 116);
  header.write("00000000000\0", 136, "latin1");
  header.write(entry.type ?? "0", 156, "latin1");
  header.write(entry.linkName ?? "", 157, 100);
  header.write("ustar\x0000", 257, "latin1");
  header.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124, "latin1");
  octal(entry.device?.[0] ?? 0, 329);
  octal(entry.device?.[1] ?? 0, 337);
  const pax = encodePax(new Map(Object.entries(entry.pax ?? {})));
  return [...pax, sealHeader(header), content, Buffer.alloc(paddingOf(content.length))];
}
