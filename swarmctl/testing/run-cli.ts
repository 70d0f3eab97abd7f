/** One invocation in the test's own process, its streams collected. */
import { systemClock } from "#proto/system-ports.ts";
import type { Clock } from "#proto/ports.ts";
import { run } from "../run.ts";
import type { FakeCluster } from "./fake-cluster.ts";

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly clock?: Clock;
  readonly signal?: AbortSignal;
  readonly isTTY?: true;
}

export async function runCli(
  cluster: FakeCluster | { readonly runRoot: string },
  argv: readonly string[],
  options: RunOptions = {},
): Promise<Outcome> {
  const written = { stdout: "", stderr: "" };
  const output = (name: keyof typeof written) => ({
    write: (data: string | Uint8Array, done?: () => void) => {
      written[name] += typeof data === "string" ? data : Buffer.from(data).toString();
      done?.();
    },
    isTTY: options.isTTY,
    columns: 100,
  });
  const code = await run(argv, {
    stdin: (async function* () {
      yield options.stdin ?? "";
    })(),
    stdout: output("stdout"),
    stderr: output("stderr"),
    env: { SWARM_RUN_ROOT: cluster.runRoot, ...options.env },
    clock: options.clock ?? systemClock,
    signal: options.signal ?? new AbortController().signal,
  });
  return { code, ...written };
}
