/** The many agents (agents.ts) on a virtual host, from where the managers of the LAN can be reached. */
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Host } from "#lab/host.ts";
import { waitFor } from "#lab/wait.ts";
import { Fault } from "#proto/fault.ts";
import type { AgentsJob, AgentsNews } from "./agents.ts";

const program = fileURLToPath(new URL("agents.ts", import.meta.url));

/** An agent joins in some ten milliseconds, on a machine that does nothing else. */
const joinTimeoutMs = 60_000;
const joinTimeoutMsEach = 400;

export interface PlayedAgents extends Disposable {
  /** Throws when the program that plays them has ended. */
  readonly news: () => AgentsNews;
}

/** Resolves when every agent has a session; they are there until disposed of. */
export async function startAgents(
  host: Host,
  job: AgentsJob,
  signal: AbortSignal,
): Promise<PlayedAgents> {
  const child = host.spawn(process.execPath, [program, JSON.stringify(job)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  using scope = new DisposableStack();
  scope.defer(() => child.stdin?.end());
  let newest: AgentsNews = { standing: 0, opened: 0, tasks: 0 };
  let ended = false;
  child.on("close", () => {
    ended = true;
  });
  if (child.stdout !== null) {
    createInterface({ input: child.stdout }).on("line", (line) => {
      newest = JSON.parse(line) as AgentsNews;
    });
  }
  const news = () => {
    if (ended) throw new Fault("internal", "the program that plays the agents ended");
    return newest;
  };
  const all = () => news().standing === job.agents;
  const timeoutMs = joinTimeoutMs + job.agents * joinTimeoutMsEach;
  await waitFor("every agent to have a session", all, { timeoutMs, signal });
  const held = scope.move();
  return { news, [Symbol.dispose]: () => held.dispose() };
}
