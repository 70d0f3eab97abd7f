/**
 * Runs commands in turn and times each from its start to its end; runs on the host that they are to reach. Plays Docker's
 * daemon for Docker's CLI: one that answers at once, so that the CLI alone is measured. Prints JSON.
 */
import { type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";

export interface TimerJob {
  readonly rounds: number;
  /** Words by name. "{port}" is where the played daemon listens. */
  readonly commands: Readonly<Record<string, readonly string[]>>;
  readonly env: Readonly<Record<string, string>>;
}

/** Milliseconds by name, one for each round. */
export type TimerResult = Readonly<Record<string, readonly number[]>>;

const job = JSON.parse(process.argv[2] ?? "{}") as TimerJob;

const daemon = createServer((request, response) => {
  response.setHeader("Api-Version", "1.45");
  response.setHeader("Ostype", "linux");
  response.setHeader("Content-Type", "application/json");
  response.end(request.url?.endsWith("/_ping") ? "OK" : "[]");
});
daemon.listen(0, "127.0.0.1");
await once(daemon, "listening");
const address = daemon.address();
const port = typeof address === "object" && address !== null ? address.port : 0;

async function time(words: readonly string[]): Promise<number> {
  const [program = "", ...args] = words.map((word) => word.replace("{port}", String(port)));
  const options: SpawnOptions = { stdio: ["ignore", "ignore", "inherit"], env: job.env };
  const startedAt = performance.now();
  const child = spawn(program, args, options);
  const [status] = (await once(child, "exit")) as [number | null];
  if (status !== 0) throw new Error(`${words.join(" ")} ended with ${status}`);
  return performance.now() - startedAt;
}

const times: Record<string, number[]> = {};
const commands = Object.entries(job.commands);
// Once for what is kept between runs: compiled code, pages.
for (const [, words] of commands) await time(words);
for (let round = 0; round < job.rounds; round += 1) {
  for (const [name, words] of commands) (times[name] ??= []).push(await time(words));
}
daemon.close();
process.stdout.write(`${JSON.stringify(times satisfies TimerResult)}\n`);
