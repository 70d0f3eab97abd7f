/**
 * Ends what a container left without an end of line, before the next attempt's container writes to the same log: its first
 * line would go on with that. A line that a power loss tore is ended, too.
 */
import { open } from "node:fs/promises";
import { errnoOf } from "#proto/fault.ts";
import { logPath } from "./log-files.ts";

/** conmon's pieces are much shorter: the last of each stream is in here, unless the other stream wrote all of this since. */
const endBytes = 64 * 1024;

export async function endOpenLines(folder: string): Promise<void> {
  try {
    await using file = await open(logPath(folder), "r+");
    const { size } = await file.stat();
    const begin = Math.max(0, size - endBytes);
    const { buffer, bytesRead } = await file.read(
      Buffer.alloc(size - begin),
      0,
      size - begin,
      begin,
    );
    const ends = endsFor(buffer.toString("latin1", 0, bytesRead));
    if (ends !== "") await file.write(ends, size);
  } catch (error) {
    // The first attempt has no log yet, and with the driver "none" there never is one.
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}

/** What has to follow this end of a log, at its last time: times do not go back. */
export function endsFor(text: string): string {
  const open = new Set<string>();
  let last = "";
  for (const [, time = "", stream = "", tag] of text.matchAll(
    /^(\S{1,40}) (stdout|stderr) ([FP])(?= |$)/gm,
  )) {
    last = time;
    if (tag === "P") open.add(stream);
    else open.delete(stream);
  }
  const ends = [...open].map((stream) => `${last} ${stream} F \n`).join("");
  return text === "" || text.endsWith("\n") ? ends : `\n${ends}`;
}
