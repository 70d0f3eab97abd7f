/** Performs a plan's steps: those of a phase side by side, phase after phase, telling how each host gets on. */
import { Fault } from "#proto/fault.ts";
import type { Clock } from "#proto/ports.ts";
import type { ClusterFile } from "./cluster-file/cluster-file.ts";
import { inParallel } from "./in-parallel.ts";
import { membersOf } from "./members.ts";
import { ManagerLink } from "./manager-link.ts";
import {
  changeSettings,
  configureNode,
  demoteNode,
  drainNode,
  initCluster,
  joinCluster,
  promoteNode,
  removeNode,
} from "./perform-cluster.ts";
import {
  install,
  installDependencies,
  leaveAs,
  leaveByForce,
  removeSwarm,
  startSwarmd,
} from "./perform-host.ts";
import type { Progress } from "./progress.ts";
import type { Remote } from "./remote.ts";
import type { Leaver, Plan, Step } from "./steps.ts";
import type { Survey } from "./survey.ts";

export interface PerformPorts {
  readonly file: ClusterFile;
  readonly survey: Survey;
  /** By the name of a host of the file. */
  readonly remoteOf: (name: string) => Remote;
  /** Of a node that the file does not name. */
  readonly remoteAt: (leaver: Leaver) => Remote | undefined;
  readonly progress: Progress;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** How long the tasks of hosts that go may take to go elsewhere. */
  readonly drainLimitMs: number;
  readonly keepData: boolean;
}

export class Performer implements Disposable {
  readonly #ports: PerformPorts;
  readonly #link: ManagerLink;
  /** By the name under which steps have them. */
  readonly #nodeIds = new Map<string, string>();
  /** What could not be done and stops nothing. */
  readonly warnings: string[] = [];

  constructor(ports: PerformPorts) {
    this.#ports = ports;
    this.#link = new ManagerLink(ports);
    const { nodes } = membersOf(ports.survey);
    for (const [name, { id }] of nodes) this.#nodeIds.set(name, id);
    // Those that stay managers are asked first.
    const managers = ports.survey.hosts
      .filter(({ node }) => node?.isManager && node.clusterId === ports.survey.cluster?.id)
      .toSorted((a, b) => Number(b.host.isManager) - Number(a.host.isManager));
    for (const { host } of managers) this.#link.add(host.name, ports.remoteOf(host.name));
  }

  async perform({ phases, leavers }: Plan): Promise<void> {
    for (const { name, nodeId } of leavers) this.#nodeIds.set(name, nodeId);
    for (const phase of phases) {
      this.#ports.signal.throwIfAborted();
      await inParallel(phase, (step) => this.#performTold(step, leavers));
    }
  }

  get link(): ManagerLink {
    return this.#link;
  }

  [Symbol.dispose](): void {
    this.#link[Symbol.dispose]();
  }

  async #performTold(step: Step, leavers: readonly Leaver[]): Promise<void> {
    const { progress, signal } = this.#ports;
    const [doing, done] = words[step.kind];
    progress.tell(step.on, doing);
    try {
      await this.#perform(step, leavers);
      progress.tell(step.on, done);
    } catch (thrown) {
      progress.tell(step.on, signal.aborted ? `interrupted: ${doing}` : `failed: ${doing}`);
      throw Fault.wrap(`${step.on}: ${doing}`, thrown);
    }
  }

  async #perform(step: Step, leavers: readonly Leaver[]): Promise<void> {
    const { file, progress, remoteOf, drainLimitMs } = this.#ports;
    const part = (what: string) => progress.part(step.on, what);
    switch (step.kind) {
      case "dependencies":
        return await installDependencies(remoteOf(step.on), step.packages);
      case "install":
        return await install(remoteOf(step.on), step.file, part);
      case "start":
        return await startSwarmd(remoteOf(step.on));
      case "forget":
        return await leaveByForce(remoteOf(step.on));
      case "init":
        return await this.#init(step.on);
      case "settings":
        return await changeSettings(this.#link, file);
      case "join":
        this.#nodeIds.set(step.on, await joinCluster(this.#link, this.#newcomer(step.on)));
        return;
      case "configure":
        return await configureNode(this.#link, this.#nodeId(step.on), this.#host(step.on));
      case "promote":
        await promoteNode(this.#nodeId(step.on), this.#wait(part));
        return this.#link.add(step.on, remoteOf(step.on));
      case "drain":
        return await drainNode(this.#nodeId(step.on), drainLimitMs, this.#wait(part));
      case "demote":
        this.#link.drop(step.on);
        return await demoteNode(this.#nodeId(step.on), this.#wait(part));
      case "leave":
        return await this.#leave(leavers.find(({ name }) => name === step.on));
    }
  }

  async #init(name: string): Promise<void> {
    this.#nodeIds.set(name, await initCluster(this.#ports.file, this.#newcomer(name)));
    this.#link.add(name, this.#ports.remoteOf(name));
  }

  /** The node is forgotten last: until then the next run knows what is still to be done. */
  async #leave(leaver: Leaver | undefined): Promise<void> {
    if (leaver === undefined) return;
    await this.#clean(leaver);
    await removeNode(leaver.nodeId, this.#link);
  }

  async #clean(leaver: Leaver): Promise<void> {
    const { remoteAt, keepData, signal } = this.#ports;
    const remote = remoteAt(leaver);
    try {
      if (remote === undefined) throw new Fault("not-found", "the cluster knows no address of it");
      await leaveAs(remote, leaver.nodeId);
      const left = await removeSwarm(remote, { keepData });
      if (left.length > 0) this.warnings.push(`${leaver.name} still has ${left.join(", ")}`);
    } catch (thrown) {
      if (signal.aborted) throw thrown;
      const { message } = Fault.from(thrown);
      this.warnings.push(`${leaver.name} is removed from the cluster, and not cleaned: ${message}`);
    } finally {
      await remote?.[Symbol.asyncDispose]();
    }
  }

  #wait(onWait: (words: string) => void) {
    const { clock, signal } = this.#ports;
    return { link: this.#link, clock, signal, onWait };
  }

  #newcomer(name: string) {
    const { survey, remoteOf } = this.#ports;
    const facts = survey.hosts.find(({ host }) => host.name === name)?.report?.facts;
    return { host: this.#host(name), remote: remoteOf(name), facts };
  }

  #host(name: string) {
    const host = this.#ports.file.hosts.find((one) => one.name === name);
    if (host === undefined) throw new Fault("internal", `The file names no host "${name}"`);
    return host;
  }

  #nodeId(name: string): string {
    const id = this.#nodeIds.get(name);
    if (id === undefined) throw new Fault("internal", `The host "${name}" is no node`);
    return id;
  }
}

/** While it goes on, and when it is done. */
const words: Readonly<Record<Step["kind"], readonly [string, string]>> = {
  dependencies: ["installing what swarm needs", "has what swarm needs"],
  install: ["installing", "installed"],
  start: ["starting swarmd", "swarmd runs"],
  forget: ["leaving its former cluster", "belongs to no cluster"],
  init: ["beginning the cluster", "manager"],
  settings: ["changing settings", "settings changed"],
  join: ["joining", "joined"],
  configure: ["setting labels and availability", "labels and availability set"],
  promote: ["becoming a manager", "manager"],
  drain: ["handing over its tasks", "has no tasks"],
  demote: ["becoming a worker", "worker"],
  leave: ["leaving", "removed"],
};
