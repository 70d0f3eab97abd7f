/**
 * Runs in the network of a task and asks, for each service that a line of standard input names, again and again until
 * the service is there: its task by name, then a connection to the service's address. Ends with its input.
 * usage: reach-program.ts NAMESERVER PORT
 */
import { Resolver } from "node:dns/promises";
import { once } from "node:events";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

/** One line of standard output for each service; milliseconds since 1970. */
export interface Reached {
  /** Its task was named. */
  readonly namedAtMs: number;
  /** A connection to the address of the service's own name stood. */
  readonly connectedAtMs: number;
}

/** Between two questions: long enough that to ask does not eat the cores on which the cluster converges. */
const pauseMs = 2;
const attemptTimeoutMs = 250;
const deadlineMs = 20_000;

const [, , nameserver = "", port = ""] = process.argv;
const resolver = new Resolver({ timeout: attemptTimeoutMs, tries: 1 });
resolver.setServers([nameserver]);

async function whenDone(attempt: () => Promise<void>): Promise<number> {
  for (const startedAt = performance.now(); ; ) {
    try {
      await attempt();
      return Date.now();
    } catch (thrown) {
      if (performance.now() - startedAt > deadlineMs) throw thrown;
    }
    await sleep(pauseMs);
  }
}

async function connectTo(service: string): Promise<void> {
  const [host = ""] = await resolver.resolve4(service);
  const socket = connect({ host, port: Number(port) });
  try {
    await once(socket, "connect", { signal: AbortSignal.timeout(attemptTimeoutMs) });
  } finally {
    socket.destroy();
  }
}

for await (const service of createInterface({ input: process.stdin })) {
  const namedAtMs = await whenDone(async () => void (await resolver.resolve4(`tasks.${service}`)));
  const connectedAtMs = await whenDone(() => connectTo(service));
  process.stdout.write(`${JSON.stringify({ namedAtMs, connectedAtMs } satisfies Reached)}\n`);
}
