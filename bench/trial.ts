/** The steps that benchmarks are made of, timed in milliseconds: a service comes up, a service goes. The same for every side. */
import { Fault } from "#proto/fault.ts";
import { type Container, containersOf } from "./containers.ts";
import { apiIntervalMs, cgroupIntervalMs, pollUntil } from "./poll.ts";
import type { Side, Workload } from "./side.ts";

const stepTimeoutMs = 120_000;

/** Enough for every host to get the image, and to do once what is measured later. */
const warmUpReplicasPerHost = 2;

export interface Trial {
  readonly side: Side;
  /** The name of the lab that its hosts belong to. */
  readonly lab: string;
  readonly signal: AbortSignal;
}

/** Deploys and removes a small service like this one, on every host. */
export async function warmUp(trial: Trial, workload: Workload): Promise<void> {
  const { side, signal } = trial;
  const replicas = warmUpReplicasPerHost * side.hosts.length;
  const small = { ...workload, name: "warm-up", replicas };
  await deploy(trial, small);
  const used = new Set((await side.listRunning(small.name, signal)).map(({ host }) => host));
  const unused = side.hosts.find((host) => !used.has(host.name));
  if (unused !== undefined) {
    throw new Fault("internal", `${side.name}: no task of the warm-up ran on "${unused.name}"`);
  }
  await remove(trial, small);
}

/** The time from the API call until the API says that all tasks run. */
export async function deploy(trial: Trial, workload: Workload): Promise<number> {
  const { side, signal } = trial;
  const { name, replicas } = workload;
  const startedAt = performance.now();
  await side.createService(workload, signal);
  let running = 0;
  const allRun = async () => {
    running = await side.countRunning(name, signal);
    return running === replicas;
  };
  await ask(trial, () => `${replicas} tasks of "${name}" to run; ${running} do`, allRun);
  const deployMs = performance.now() - startedAt;
  const found = [...containers(trial)].length;
  if (found === replicas) return deployMs;
  const claim = `the API says that ${replicas} tasks run, and there are ${found} containers`;
  throw new Fault("internal", `${side.name}: ${claim}`);
}

/** The time from the API call until no process of a container is left. Resolves when the side is idle again. */
export async function remove(trial: Trial, workload: Workload): Promise<number> {
  const { side, signal } = trial;
  const startedAt = performance.now();
  await side.removeService(workload.name, signal);
  const allGone = () => isEmpty(containers(trial));
  const options = { intervalMs: cgroupIntervalMs, timeoutMs: stepTimeoutMs, signal };
  await pollUntil(() => `${side.name}: containers to end`, allGone, options);
  const removeMs = performance.now() - startedAt;
  await ask(
    trial,
    () => `what is left of "${workload.name}" to go`,
    () => side.isIdle(signal),
  );
  return removeMs;
}

/** Waits for what the side's API tells only when asked. */
export async function ask(
  trial: Trial,
  what: () => string,
  condition: () => Promise<boolean>,
): Promise<void> {
  const { side, signal } = trial;
  const options = { intervalMs: apiIntervalMs, timeoutMs: stepTimeoutMs, signal };
  await pollUntil(() => `${side.name}: ${what()}`, condition, options);
}

export function containers({ side, lab }: Trial): Iterable<Container> {
  const hosts = side.hosts.map((host) => host.name);
  return containersOf(lab, hosts);
}

function isEmpty(items: Iterable<unknown>): boolean {
  for (const _ of items) return false;
  return true;
}
