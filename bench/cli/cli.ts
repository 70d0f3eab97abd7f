/** How long `swarmctl service ls` takes, from the bundle and from the sources, beside Docker's CLI. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Lab } from "#lab/lab.ts";
import { ensurePeerRoot } from "../peer/root.ts";
import type { Metric } from "../samples.ts";
import type { TimerJob, TimerResult } from "./timer.ts";

export interface CliOptions {
  readonly rounds: number;
  readonly peer: boolean;
  readonly signal: AbortSignal;
  readonly onStep: (step: string) => void;
}

const pathOf = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
const services = 10;
const roundMsMax = 5_000;

export async function benchCli(options: CliOptions): Promise<readonly Metric[]> {
  const { rounds, signal, onStep } = options;
  await using resources = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "bench-cli-"));
  resources.defer(() => rm(folder, { recursive: true, force: true }));
  const dist = join(folder, "dist");
  await promisify(execFile)(process.execPath, [pathOf("../../bundle/main.ts"), dist], { signal });
  onStep("the programs are bundled");
  const root = options.peer ? await ensurePeerRoot({ signal, onStep }) : undefined;
  const lab = resources.use(
    await Lab.up({ name: `bench-${process.pid}`, ownedByThisProcess: true, signal, onStep }),
  );
  const host = lab.host("h1");
  for (let number = 1; number <= services; number += 1) {
    // What there is to list; nothing runs, for it would run beside what is measured.
    const flags = ["--detach", "--replicas", "0", "--no-resolve-image", "--name", `s${number}`];
    await host.run("swarmctl", ["service", "create", ...flags, "busybox"], { signal });
  }
  const list = ["service", "ls"];
  const job: TimerJob = {
    rounds,
    commands: {
      bundle: [process.execPath, "--min-semi-space-size=16", join(dist, "swarmctl.js"), ...list],
      sources: [process.execPath, pathOf("../../swarmctl/main.ts"), ...list],
      node: [process.execPath, "--eval", "0"],
      ...(root !== undefined && {
        docker: ["chroot", root, "docker", "--host", "tcp://127.0.0.1:{port}", ...list],
      }),
    },
    env: { PATH: process.env["PATH"] ?? "/usr/bin", HOME: folder },
  };
  const timeoutMs = (rounds + 1) * roundMsMax;
  const timer = [pathOf("timer.ts"), JSON.stringify(job)];
  const printed = await host.run(process.execPath, timer, { signal, timeoutMs });
  return metricsOf(JSON.parse(printed) as TimerResult);
}

function metricsOf(times: TimerResult): readonly Metric[] {
  const { bundle = [], sources = [], node = [], docker } = times;
  const alone = (name: string) => ({ ours: name, peer: "", ratio: "" });
  return [
    {
      title: "service ls",
      fields: { ours: "ours_ms", peer: "peer_ms", ratio: "ratio" },
      samples: { ours: bundle, ...(docker !== undefined && { peer: docker }) },
    },
    { title: "from the sources", fields: alone("sources_ms"), samples: { ours: sources } },
    { title: "node with nothing to do", fields: alone("node_ms"), samples: { ours: node } },
  ];
}
