/** A file that a flag names, or stdin for "-". */
import { readFile, stat } from "node:fs/promises";
import { Fault } from "#proto/fault.ts";
import type { Io } from "./io.ts";

/** Far above any honest spec or stack file. */
export const textBytesMax = 10 * 1024 * 1024;

export async function readText(io: Io, file: string): Promise<string> {
  try {
    const bytes = file === "-" ? await readAll(io.stdin) : await readBounded(file);
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (thrown) {
    if (thrown instanceof TypeError) {
      throw new Fault("invalid-argument", `Cannot read "${file}": it is not UTF-8 text`);
    }
    throw Fault.wrap(`Cannot read "${file}"`, thrown);
  }
}

async function readBounded(file: string): Promise<Uint8Array> {
  const { size } = await stat(file);
  if (size > textBytesMax) throw tooLarge();
  return readFile(file);
}

async function readAll(stream: Io["stdin"]): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of stream) {
    const bytes = Buffer.from(chunk);
    sizeBytes += bytes.length;
    if (sizeBytes > textBytesMax) throw tooLarge();
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

function tooLarge(): Fault {
  return new Fault("invalid-argument", `it is larger than ${textBytesMax / 1024 / 1024} MiB`);
}
