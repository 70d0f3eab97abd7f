/** A file that a flag names, or stdin for "-". */
import { closeSync, createReadStream, openSync, readSync } from "node:fs";
import { Fault } from "#proto/fault.ts";
import type { Io } from "./io.ts";

/** Far above any honest spec, stack or config. */
const fileBytesMax = 10 * 1024 * 1024;

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
    return file === "-" ? await readAll(io.stdin) : await readAll(createReadStream(file));
  } catch (thrown) {
    throw Fault.wrap(`Cannot read "${file}"`, thrown);
  }
}

/** For whoever cannot wait. */
export function readTextSync(file: string): string {
  try {
    const bytes = readBoundedSync(file);
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (thrown) {
    throw Fault.wrap(`Cannot read "${file}"`, thrown);
  }
}

/** Counts what is read: devices and pipes say that they have no size. */
function readBoundedSync(file: string): Uint8Array {
  const descriptor = openSync(file, "r");
  try {
    const chunks: Buffer[] = [];
    for (let sizeBytes = 0; ; ) {
      const chunk = Buffer.alloc(64 * 1024);
      const count = readSync(descriptor, chunk);
      if (count === 0) return Buffer.concat(chunks);
      sizeBytes += count;
      if (sizeBytes > fileBytesMax) throw tooLarge();
      chunks.push(chunk.subarray(0, count));
    }
  } finally {
    closeSync(descriptor);
  }
}

async function readAll(stream: AsyncIterable<string | Uint8Array>): Promise<Uint8Array> {
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
