/**
 * Performs a plan of an upgrade, one step after the other, and none before the cluster is well: the managers would go on without
 * the one that is next, every node of the file is ready, and what ran on the hosts of the step before runs on in the same
 * containers. Ends at the first failure, with nothing under way; the same plan made anew goes on from there.
 */
import { Fault } from "#proto/fault.ts";
import type { Node, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeState, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Clock } from "#proto/ports.ts";
import { durationFromMs } from "#proto/time.ts";
import { type ControlClient, controlOf, swarmdOf } from "./clients.ts";
import { readHostNode } from "./host-node.ts";
import { installPackage } from "./install-package.ts";
import { hostnameOf } from "./members.ts";
import { quorumProblem, type UpgradePlan, type UpgradeTarget } from "./plan-upgrade.ts";
import type { Remote } from "./remote.ts";

/** How often hosts and managers are asked how far they are. */
const lookMs = 500;

/** Managers wait for no node for longer. */
const patienceMsMax = 3_600_000;

export interface UpgradeOptions {
  /** How long a host may take until it is as it was, with the new version. */
  readonly timeoutMs: number;
  /** Also in the place of a newer version. */
  readonly force: boolean;
  readonly signal: AbortSignal;
}

export interface UpgradePorts {
  readonly clock: Clock;
  /** Of a host of the file, by its name. */
  readonly remoteOf: (name: string) => Remote;
  /** Names of the hosts with managers, those that are asked first at the front. */
  readonly managers: readonly string[];
  /** Nodes that shall be ready. */
  readonly nodeIds: ReadonlySet<string>;
  readonly onProgress: (host: string, what: string) => void;
}

/** The container of each task that runs on a host. */
type Containers = ReadonlyMap<string, string>;

export async function upgrade(
  plan: UpgradePlan,
  options: UpgradeOptions,
  ports: UpgradePorts,
): Promise<void> {
  const run = new UpgradeRun(plan.version, options, ports);
  for (const step of plan.steps) await run.step(step);
}

/** What a host shall have again, and what it needs for that. */
interface Held {
  readonly before: Containers;
  readonly unlockKey: string;
}

class UpgradeRun {
  readonly #version: string;
  readonly #options: UpgradeOptions;
  readonly #ports: UpgradePorts;

  constructor(version: string, options: UpgradeOptions, ports: UpgradePorts) {
    this.#version = version;
    this.#options = options;
    this.#ports = ports;
  }

  /** Of hosts of which one fails the others come to their end first. */
  async step(targets: readonly UpgradeTarget[]): Promise<void> {
    const ended = await Promise.allSettled(targets.map((target) => this.#host(target)));
    for (const one of ended) if (one.status === "rejected") throw one.reason;
  }

  async #host(target: UpgradeTarget): Promise<void> {
    const { name } = target;
    const say = (what: string) => this.#ports.onProgress(name, what);
    try {
      say("waiting for the cluster to be well");
      await this.#until("the cluster is not well", () => this.#wrong(target));
      const before = await this.#ask((control) => runningOn(control, target.nodeId));
      const unlockKey = target.isManager ? await this.#unlockKey() : "";
      await this.#replace(target, { before, unlockKey }, say);
      say(`has ${this.#version}`);
    } catch (thrown) {
      say("failed");
      throw Fault.wrap(name, thrown);
    }
  }

  /** Nobody takes it for lost meanwhile, so that what runs there is not started elsewhere. */
  async #replace(target: UpgradeTarget, held: Held, say: (what: string) => void): Promise<void> {
    const { timeoutMs } = this.#options;
    await this.#await(target, Math.min(timeoutMs, patienceMsMax));
    try {
      await this.#install(target, say);
      say("starting");
      const late = `it is not back with ${this.#version}`;
      await this.#until(late, () => this.#missing(target, held));
    } finally {
      // Else it ends by itself.
      await this.#await(target, 0).catch(() => undefined);
    }
  }

  async #await({ nodeId: ref }: UpgradeTarget, patienceMs: number): Promise<void> {
    const patience = durationFromMs(patienceMs);
    await this.#ask((control) => control.awaitNode({ ref, patience }));
  }

  async #install({ name, file }: UpgradeTarget, say: (what: string) => void): Promise<void> {
    const { force, signal } = this.#options;
    const remote = this.#ports.remoteOf(name);
    let told = -1;
    const onProgress = (bytes: number, total: number) => {
      const percent = Math.floor((bytes / Math.max(total, 1)) * 10) * 10;
      if (percent > told) say(percent < 100 ? `copying, ${percent} %` : "installing");
      told = Math.max(told, percent);
    };
    await installPackage(remote, file, { force, onProgress, signal });
    // Where the files were there already and an older swarmd still runs, nothing has started it anew.
    const node = await readHostNode(remote).catch(() => undefined);
    if (node !== undefined && node.version !== this.#version) {
      await remote.run(["systemctl", "restart", "swarmd.service"], { signal });
    }
  }

  /** What keeps the next host from being taken on. */
  async #wrong({ nodeId, isManager }: UpgradeTarget): Promise<string | undefined> {
    const nodes = await this.#ask(async (control) => (await control.listNodes({})).nodes);
    const absent = nodes.filter((node) => this.#ports.nodeIds.has(node.id) && !isReady(node));
    if (absent.length > 0) return `not ready: ${absent.map(hostnameOf).join(", ")}`;
    return isManager ? quorumProblem(nodes, nodeId) : undefined;
  }

  /** What the host still lacks to be as it was before. */
  async #missing(target: UpgradeTarget, { before, unlockKey }: Held): Promise<string | undefined> {
    const remote = this.#ports.remoteOf(target.name);
    const own = await readHostNode(remote);
    if (own === undefined) return "its swarmd does not answer";
    if (own.version !== this.#version) return `its swarmd is ${own.version}`;
    if (own.isLocked) {
      if (unlockKey === "") return "its manager is locked";
      using swarmd = await swarmdOf(remote);
      await swarmd.client.unlockCluster({ unlockKey });
      return "its manager is being unlocked";
    }
    if (target.isManager) {
      // Its own answer shows that it takes part: it asks a majority.
      using control = await controlOf(remote);
      await control.client.getCluster({});
    }
    const { node, tasks } = await this.#ask(async (control) => ({
      node: (await control.getNode({ ref: target.nodeId })).node,
      tasks: (await control.listTasks({ nodeRef: target.nodeId })).tasks,
    }));
    if (node === undefined || !isReady(node)) return "its node is not ready";
    if (node.description?.engine?.engineVersion !== this.#version)
      return "its node has not registered anew";
    return changedContainers(before, tasks);
  }

  async #unlockKey(): Promise<string> {
    return await this.#ask(async (control) => (await control.getUnlockKey({})).unlockKey);
  }

  /** Asks managers in turn: the one that is being restarted answers nobody. */
  async #ask<T>(question: (control: ControlClient) => Promise<T>): Promise<T> {
    let fault: Fault | undefined;
    for (const name of this.#ports.managers) {
      this.#options.signal.throwIfAborted();
      try {
        using control = await controlOf(this.#ports.remoteOf(name));
        return await question(control.client);
      } catch (thrown) {
        fault = Fault.from(thrown);
        if (!fault.retryable) throw fault;
      }
    }
    throw fault ?? new Fault("unavailable", "no manager is among the hosts of the file");
  }

  /** Looks until nothing is the matter. `late`: what is said when the time is over, before what is the matter still. */
  async #until(late: string, look: () => Promise<string | undefined>): Promise<void> {
    const { clock } = this.#ports;
    const { timeoutMs, signal } = this.#options;
    const endMs = clock.monotonic() + timeoutMs;
    for (;;) {
      const matter = await look().catch((thrown: unknown) => {
        const fault = Fault.from(thrown);
        if (!fault.retryable) throw fault;
        return fault.message;
      });
      if (matter === undefined) return;
      if (clock.monotonic() >= endMs) {
        const waited = `${Math.round(timeoutMs / 1000)} s`;
        throw new Fault("deadline-exceeded", `${late} after ${waited}: ${matter}`);
      }
      await clock.sleep(lookMs, signal);
    }
  }
}

function isReady({ status }: Node): boolean {
  return status?.state === NodeState.READY;
}

async function runningOn(control: ControlClient, nodeId: string): Promise<Containers> {
  const { tasks } = await control.listTasks({ nodeRef: nodeId });
  const running = tasks.filter(isRunning);
  return new Map(running.map((task) => [task.id, containerOf(task)]));
}

function isRunning({ status, desiredState }: Task): boolean {
  return status?.state === TaskState.RUNNING && desiredState === TaskState.RUNNING;
}

/** Tasks that somebody stops meanwhile are nobody's concern. */
function changedContainers(before: Containers, tasks: readonly Task[]): string | undefined {
  for (const task of tasks) {
    const container = before.get(task.id);
    const name = task.serviceAnnotations?.name || task.id;
    if (container !== undefined && task.desiredMessage === "its node is down") {
      const text = `a task of ${name} was started elsewhere, since its node was away for too long`;
      throw new Fault("failed-precondition", text);
    }
    if (container === undefined || task.desiredState !== TaskState.RUNNING) continue;
    if (!isRunning(task))
      return `a task of ${name} does not run: ${task.status?.err || task.status?.message || "no reason given"}`;
    if (containerOf(task) !== container) {
      throw new Fault(
        "failed-precondition",
        `the container of a task of ${name} did not outlive the upgrade`,
      );
    }
  }
  return undefined;
}

function containerOf({ status }: Task): string {
  return `${status?.container?.containerId}/${status?.container?.pid}`;
}
