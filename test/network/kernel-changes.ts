/** What changes in a host's kernel meanwhile, as its tools report it. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import type { Namespace } from "#agent/network/testing/namespace.ts";

/** A change of our own that the kernel reports: what comes between two of them is what we look for. */
interface Sentinel {
  readonly program: "ip" | "nft";
  readonly monitor: readonly string[];
  readonly add: (mark: string) => readonly string[];
  readonly remove: (mark: string) => readonly string[];
  readonly marks: readonly [begin: string, end: string];
}

const sentinels: readonly Sentinel[] = [
  {
    program: "ip",
    monitor: ["monitor", "link", "address", "route", "rule", "neigh"],
    add: (mark) => ["addr", "add", `${mark}/32`, "dev", "lo"],
    remove: (mark) => ["addr", "del", `${mark}/32`, "dev", "lo"],
    marks: ["192.0.2.1", "192.0.2.2"],
  },
  {
    program: "nft",
    monitor: ["monitor"],
    add: (mark) => ["add", "table", "inet", mark],
    remove: (mark) => ["delete", "table", "inet", mark],
    marks: ["begin", "end"],
  },
];

/** Neighbours on the LAN come and go by themselves; ours are permanent. */
const byItself = /\b(REACHABLE|STALE|DELAY|PROBE|FAILED|INCOMPLETE|NOARP) *$/;

/** What `act` changed: lines of `ip monitor` and `nft monitor`. */
export async function changesDuring(
  namespace: Namespace,
  act: () => Promise<unknown>,
): Promise<readonly string[]> {
  const watches = await Promise.all(sentinels.map((sentinel) => watch(namespace, sentinel)));
  await act();
  return (await Promise.all(watches.map((finish) => finish()))).flat();
}

async function watch(
  namespace: Namespace,
  sentinel: Sentinel,
): Promise<() => Promise<readonly string[]>> {
  const { program, monitor, add, remove, marks } = sentinel;
  const child = namespace.start(program, monitor, "pipe");
  let output = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  const blink = async (mark: string) => {
    await namespace.run(program, add(mark));
    await namespace.run(program, remove(mark));
  };
  const [begin, end] = marks;
  const deadline = AbortSignal.timeout(10_000);
  // It does not say when it listens.
  while (!output.includes(begin)) {
    assert(!deadline.aborted, `${program} monitor is silent`);
    await blink(begin);
  }
  return async () => {
    await blink(end);
    while (!output.includes(end)) await once(readable(child), "data", { signal: deadline });
    await stop(child);
    const lines = output.slice(0, output.indexOf(end)).split("\n");
    const last = lines.findLastIndex((line) => line.includes(begin));
    return lines
      .slice(last + 1, -1)
      .filter((line) => !line.startsWith("# new generation") && !byItself.test(line));
  };
}

function readable(child: ChildProcess) {
  assert(child.stdout !== null);
  return child.stdout;
}

async function stop(child: ChildProcess): Promise<void> {
  const closed = once(child, "close");
  child.kill("SIGKILL");
  await closed;
}
