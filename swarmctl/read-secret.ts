/**
 * A line from the terminal, where a secret is not shown, or from whatever is piped in. One line; the rest is not looked at.
 */
import { Fault } from "#proto/fault.ts";
import type { Io } from "./io.ts";

const lineBytesMax = 1024;

const interrupt = "\x03";
const endOfInput = "\x04";
const backspaces = ["\b", "\x7f"];

export async function readSecret({ stdin, stderr, signal }: Io, prompt: string): Promise<string> {
  if (!stdin.isTTY) return (await readLine(stdin)).trim();
  stderr.write(prompt);
  // The terminal shows nothing and hands over every key, Ctrl-C too.
  stdin.setRawMode?.(true);
  try {
    return (await readLine(stdin, signal)).trim();
  } finally {
    stdin.setRawMode?.(false);
    stderr.write("\n");
  }
}

/** What need not be hidden: the terminal shows it, and lets it be corrected. */
export async function readAnswer({ stdin, stderr, signal }: Io, prompt: string): Promise<string> {
  if (stdin.isTTY) stderr.write(prompt);
  return (await readLine(stdin, signal)).trim();
}

async function readLine(stdin: Io["stdin"], signal?: AbortSignal): Promise<string> {
  // Not by for-await: leaving that would close the terminal before it is put back.
  const chunks = stdin[Symbol.asyncIterator]();
  let line = "";
  for (;;) {
    const chunk = await chunks.next();
    signal?.throwIfAborted();
    if (chunk.done) return line;
    for (const character of chunk.value.toString()) {
      if (character === "\n" || character === "\r" || character === endOfInput) return line;
      if (character === interrupt) throw new Fault("canceled", "Nothing was done");
      line = backspaces.includes(character) ? line.slice(0, -1) : line + character;
    }
    if (line.length > lineBytesMax) throw new Fault("invalid-argument", "The line is too long");
  }
}
