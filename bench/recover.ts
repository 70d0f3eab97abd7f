/** How long a cluster takes to have again what it lost: a container that was killed, a host that lost its power. */
import { setTimeout as sleep } from "node:timers/promises";
import { Fault } from "#proto/fault.ts";
import type { Ground } from "./ground.ts";
import type { Metric, Samples } from "./samples.ts";
import type { Workload } from "./side.ts";
import { ask, containers, deploy, remove, type Trial, warmUp } from "./trial.ts";

/** Each of another task: one that fails again and again is restarted later and later. */
const killCount = 5;
const hostLossCount = 2;
/** Two on each host. */
const hostLossReplicas = 6;

const startTimeoutMs = 60_000;

/** Between kills, so that what the one before left to do does not weigh on the next. */
const settleMs = 1_000;

/** Before the first kill, so that no task is one that has just started. */
const steadyMs = 6_000;

export interface RecoverOptions {
  readonly signal: AbortSignal;
  readonly onStep: (step: string) => void;
}

export async function benchRecover(
  ground: Ground,
  options: RecoverOptions,
): Promise<readonly Metric[]> {
  const { signal, onStep } = options;
  const restarts = await benchRestart(ground, options);
  const losses = new Map<string, readonly number[]>();
  for (const trial of ground.trials(signal)) {
    const { name } = trial.side;
    losses.set(name, await loseHosts(trial, ground));
    onStep(`${name}: tasks elsewhere after ${inWords(losses.get(name))} ms`);
  }
  return [
    restarts,
    {
      title: "host lost → its tasks run elsewhere",
      fields: { ours: "host_loss_ms", peer: "peer_host_loss_ms", ratio: "host_loss_ratio" },
      samples: samplesOf(losses),
    },
  ];
}

/** How long it takes until a container that was killed runs again. */
export async function benchRestart(
  ground: Ground,
  { signal, onStep }: RecoverOptions,
): Promise<Metric> {
  const restarts = new Map<string, readonly number[]>();
  for (const trial of ground.trials(signal)) {
    const { name } = trial.side;
    await warmUp(trial, ground.sleeper("warm-up", killCount));
    restarts.set(name, await killContainers(trial, ground.sleeper("restart", killCount)));
    onStep(`${name}: containers back after ${inWords(restarts.get(name))} ms`);
  }
  return {
    title: "container killed → runs again",
    fields: { ours: "restart_ms", peer: "peer_restart_ms", ratio: "restart_ratio" },
    samples: samplesOf(restarts),
  };
}

/** The times from the kill of a container's init process until the orchestrator tells of a container that runs. */
async function killContainers(trial: Trial, workload: Workload): Promise<readonly number[]> {
  const { side, signal } = trial;
  await deploy(trial, workload);
  await sleep(steadyMs, undefined, { signal });
  // As of now: who came back is not killed again.
  const victims = [...containers(trial)];
  const times: number[] = [];
  for (const { pids } of victims) {
    const [pid] = pids;
    if (pid === undefined) throw new Fault("internal", "a container has no process");
    times.push(await killAndWait(trial, pid));
    const allRun = async () =>
      (await side.countRunning(workload.name, signal)) === workload.replicas;
    await ask(trial, () => "all tasks to run again", allRun);
    await sleep(settleMs, undefined, { signal });
  }
  await remove(trial, workload);
  return times;
}

async function killAndWait({ side, signal }: Trial, pid: number): Promise<number> {
  const late = AbortSignal.timeout(startTimeoutMs);
  using watch = await side.watchStart(AbortSignal.any([signal, late]));
  const killedAt = performance.now();
  process.kill(pid, "SIGKILL");
  await watch.started;
  return performance.now() - killedAt;
}

/** The times from a host's loss until all tasks of a service run on the others. */
async function loseHosts(trial: Trial, ground: Ground): Promise<readonly number[]> {
  const { side, signal } = trial;
  const workload = ground.sleeper("host-loss", hostLossReplicas);
  const times: number[] = [];
  for (let loss = 1; loss <= hostLossCount; loss++) {
    await deploy(trial, workload);
    const host = await side.expendableHost(signal);
    const placed = await side.listRunning(workload.name, signal);
    if (!placed.some((task) => task.host === host.name)) {
      throw new Fault("internal", `${side.name}: no task runs on "${host.name}"`);
    }
    const lostAt = performance.now();
    // The cable first: with it, the kernel would still say goodbye for every connection of the processes that it ends.
    await ground.lab.cut(host.name);
    await host.kill();
    await ask(
      trial,
      () => "the tasks of the lost host to run elsewhere",
      async () => {
        const tasks = await side.listRunning(workload.name, signal);
        return tasks.filter((task) => task.host !== host.name).length === workload.replicas;
      },
    );
    times.push(performance.now() - lostAt);
    await ground.lab.heal();
    await side.revive(host, signal);
    await remove(trial, workload);
  }
  return times;
}

function samplesOf(times: ReadonlyMap<string, readonly number[]>): Samples {
  const peer = times.get("peer");
  return { ours: times.get("ours") ?? [], ...(peer === undefined ? {} : { peer }) };
}

function inWords(times: readonly number[] = []): string {
  return times.map((time) => time.toFixed(0)).join(", ");
}
