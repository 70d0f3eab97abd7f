/** Asks before something is lost: only "y" or "yes" goes on, as with Docker. */
import type { Io } from "./io.ts";

export async function confirm(io: Io, warning: string): Promise<boolean> {
  io.stderr.write(`${warning}\nAre you sure you want to continue? [y/N] `);
  let answer = "";
  for await (const chunk of io.stdin) {
    answer += chunk.toString();
    if (answer.includes("\n")) break;
  }
  return /^y(es)?$/i.test(answer.split("\n", 1)[0]?.trim() ?? "");
}
