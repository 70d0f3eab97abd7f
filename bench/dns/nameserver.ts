/** The nameservers that are compared, each a process of its own on a loopback address. */
import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Fault } from "#proto/fault.ts";
import { parseCpuMs } from "../soak/usage.ts";
import type { Job, LoopDelay } from "./server-program.ts";
import type { Names } from "./zone.ts";

const program = fileURLToPath(new URL("server-program.ts", import.meta.url));

export interface Nameserver extends AsyncDisposable {
  readonly side: "ours" | "peer";
  readonly address: string;
  readonly port: number;
  /** CPU time since it began, in milliseconds. */
  cpuMs(): number;
  /** How late its event loop was at most since this was asked before; undefined: it is none of ours. */
  loopDelay(): Promise<LoopDelay | undefined>;
}

export async function startOurs(names: Names, port: number): Promise<Nameserver> {
  const job: Job = { address: "127.88.0.1", port, names };
  const child = fork(program, [JSON.stringify(job)]);
  const ended = endOf(child);
  // Also when nobody waits for it: it ends with the benchmark.
  ended.catch(() => {});
  await Promise.race([once(child, "message"), ended]);
  return {
    side: "ours",
    address: job.address,
    port,
    cpuMs: () => cpuMsOf(child),
    async loopDelay() {
      const said = once(child, "message");
      child.send("");
      const [delay] = await Promise.race([said, ended]);
      return delay as LoopDelay;
    },
    [Symbol.asyncDispose]: () => end(child),
  };
}

export async function startDnsmasq(hostsFile: string, port: number): Promise<Nameserver> {
  const address = "127.88.0.2";
  const manner =
    "--keep-in-foreground --log-facility=- --conf-file=/dev/null --pid-file= --user=root";
  const source = ["--no-resolv", "--no-hosts", `--addn-hosts=${hostsFile}`];
  const place = ["--bind-interfaces", `--listen-address=${address}`, `--port=${port}`];
  const args = [...manner.split(" "), ...source, ...place];
  const child = spawn("dnsmasq", args, { stdio: ["ignore", "ignore", "pipe"] });
  const ended = endOf(child);
  ended.catch(() => {});
  await Promise.race([sentence(child, "read "), ended]);
  return {
    side: "peer",
    address,
    port,
    cpuMs: () => cpuMsOf(child),
    loopDelay: async () => undefined,
    [Symbol.asyncDispose]: () => end(child),
  };
}

/** Resolves when the program has said it. */
async function sentence(child: ChildProcess, words: string): Promise<void> {
  if (child.stderr === null) throw new Fault("internal", "no pipe");
  for await (const line of createInterface({ input: child.stderr })) {
    if (line.includes(words)) break;
  }
  child.stderr.resume();
}

/** Rejects when the program ends. */
async function endOf(child: ChildProcess): Promise<never> {
  await once(child, "exit");
  throw new Fault("unavailable", `"${child.spawnfile}" ended`);
}

function cpuMsOf({ pid }: ChildProcess): number {
  return parseCpuMs(readFileSync(`/proc/${pid}/stat`, "utf8"));
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}
