/** A file that a flag names, or stdin for "-". */
import { readFile, stat } from "node:fs/promises";
import { Fault } from "#proto/fault.ts";
import type { Io } from "./io.ts";

/** Far above any honest spec, stack or config. */
export const fileBytesMax = 10 * 1024 * 1024;

export async function readText(io: Io, file: string): Promise<string> {
  const bytes = await readBytes(io, file);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (thrown) {
    const message = `Cannot read "${file}": it is not UTF-8 text`;
    throw new Fault("invalid-argument", message, { cause: thrown });
  }
}

export async function readBytes(io: Io, file: string): Promise<Uint8Array> {
  try {
    return file === "-" ? await readAll(io.stdin) : await readBounded(file);
  } catch (thrown) {
    throw Fault.wrap(`Cannot read "${file}"`, thrown);
  }
}

async function readBounded(file: string): Promise<Uint8Array> {
  const { size } = await stat(file);
  if (size > fileBytesMax) throw tooLarge();
  return readFile(file);
}

async function readAll(stream: Io["stdin"]): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of stream) {
    const bytes = Buffer.from(chunk);
    sizeBytes += bytes.length;
    if (sizeBytes > fileBytesMax) throw tooLarge();
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

function tooLarge(): Fault {
  return new Fault("invalid-argument", `it is larger than ${fileBytesMax / 1024 / 1024} MiB`);
}
