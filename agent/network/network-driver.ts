/**
 * The network of a host: converges the kernel to what the managers want, and gives tasks their namespaces and links. It
 * is the one writer of everything that data-plane.ts pictures, and it owns the namespaces in /run/netns that are named
 * after tasks.
 *
 * All changes go through one lane: a state that is overtaken while it waits is never performed, fifty tasks cost a few
 * processes, and no two writers meet. Between changes the picture in memory is trusted; after an error it is read anew.
 */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Exec } from "#agent/exec.ts";
import { Fault } from "#proto/fault.ts";
import type { Network, NetworkAttachment, PortConfig } from "#proto/gen/swarm/v1/types_pb.ts";
import { isId } from "#proto/ids.ts";
import type { Clock, Log } from "#proto/ports.ts";
import { addressPart } from "#proto/cidr.ts";
import { attachmentsMax, mainAttachment } from "./attachment.ts";
import { bridgeNetwork, chooseBridge } from "./bridge.ts";
import { DockerPermit } from "./docker-permit.ts";
import type { FastPath } from "./fastpath/fast-path.ts";
import { HostPlane, type Seen, type Wanted } from "./host-plane.ts";
import { namespaceRoot, readKernel } from "./kernel-reader.ts";
import {
  type NetworkState,
  type Overlay,
  type ParsedNetworkState,
  ParseMemory,
  parseNetworkState,
} from "./network-state.ts";
import type { HostPort } from "./services/wanted.ts";
import {
  isOnHost,
  linksOf,
  realAttachments,
  resolveAttachments,
  type Surroundings,
  withBridgeAddress,
} from "./task-attachments.ts";
import { type Arrival, type Mended, TaskLinks } from "./task-links.ts";
import { nameserversByAddress, type TaskRecord, TaskRecords } from "./task-records.ts";
import { WorkLane } from "./work-lane.ts";
import type { Encryption } from "./wireguard/encryption.ts";

export type { NetworkState } from "./network-state.ts";

export interface NetworkDriverOptions {
  readonly runRoot: string;
}

export interface NetworkDriverModules {
  readonly exec: Exec;
  readonly clock: Clock;
  readonly log: Log;
  /** Without, encrypted networks are refused. */
  readonly encryption?: Encryption;
  /** Without, all packets go through the rules. */
  readonly fastPath?: FastPath | undefined;
}

/** Where a task runs. */
export interface TaskNamespace {
  /** Undefined: the host's own network namespace. */
  readonly path: string | undefined;
  /** The gateway of the task's main network; none: the task has no network, or the host's. */
  readonly nameserver?: string;
  /** The task's own, on all its networks, those that this host chose among them. */
  readonly addresses: readonly string[];
}

export interface AttachOptions {
  /** To be published on this host alone, from attach to detach. */
  readonly hostPorts?: readonly PortConfig[];
  /** The task's own, for as long as it is attached. */
  readonly nameservers?: readonly string[];
}

/** For people and metrics. */
export interface NetworkStatus {
  readonly convergences: number;
  /** How long the last one took. */
  readonly convergenceMs: number;
  /** How often something had to be put back that another had changed. */
  readonly repairs: number;
  /** What was put back last. */
  readonly drift: readonly string[];
  /** What cannot be carried at the moment, and why. */
  readonly refusals: readonly string[];
  /** Rules of others that may drop the network's packets, and how that is healed. */
  readonly obstacles: readonly string[];
}

/** Tasks per process of `ip`: the first of them waits for the last. */
const arrivalsBatchMax = 16;
const departuresBatchMax = 128;

/** Where there is always something to change, nothing is changed while the last look is taken. */
const looksMax = 3;

/** Lines of drift that are remembered: enough to know what happened. */
const driftMax = 20;

const nothingMended: Mended = { taskIds: [], refusals: [] };

interface Parts {
  readonly plane: HostPlane;
  readonly records: TaskRecords;
  readonly recorded: readonly TaskRecord[];
  readonly scratchRoot: string;
}

export class NetworkDriver {
  readonly #scratchRoot: string;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #plane: HostPlane;
  readonly #docker: DockerPermit;
  readonly #records: TaskRecords;
  readonly #lane: WorkLane<TaskRecord>;
  readonly #links: TaskLinks;
  /** By task; of tasks whose namespace stands. */
  readonly #tasks: Map<string, TaskRecord>;
  readonly #memory = new ParseMemory();
  /** By address, of those tasks that have their own; made of `#tasks` when they are asked for. */
  #nameservers: ReadonlyMap<string, readonly string[]> | undefined;
  #state: NetworkState | undefined;
  #parsed: ParsedNetworkState | undefined;
  #bridge: Overlay | undefined;
  #refusals: readonly Fault[] = [];
  /** Is to be done with the next convergence; with what was seen, or after a look. */
  #repair: { readonly seen: Seen | undefined } | undefined;
  #status: NetworkStatus = {
    convergences: 0,
    convergenceMs: 0,
    repairs: 0,
    drift: [],
    refusals: [],
    obstacles: [],
  };

  /** Reads what stands and changes none of it, but for the remains of a detach that did not come to its end. */
  static async open(
    options: NetworkDriverOptions,
    modules: NetworkDriverModules,
  ): Promise<NetworkDriver> {
    const root = join(options.runRoot, "network");
    const scratchRoot = join(root, "batches");
    await rm(scratchRoot, { recursive: true, force: true });
    await mkdir(scratchRoot, { recursive: true });
    const { exec, log, encryption, fastPath } = modules;
    const plane = await HostPlane.open(scratchRoot, { exec, log, encryption, fastPath });
    const records = new TaskRecords(join(root, "tasks"), log);
    const recorded = await records.read();
    const driver = new NetworkDriver({ plane, records, recorded, scratchRoot }, modules);
    await driver.#links.removeOrphans();
    const gone = recorded.filter(({ taskId }) => !driver.#tasks.has(taskId));
    await records.forget(gone.map(({ taskId }) => taskId));
    return driver;
  }

  /** For `open`. */
  constructor({ plane, records, recorded, scratchRoot }: Parts, modules: NetworkDriverModules) {
    const { exec, clock, log } = modules;
    this.#scratchRoot = scratchRoot;
    this.#clock = clock;
    this.#log = log;
    this.#plane = plane;
    this.#docker = new DockerPermit({ exec, log });
    this.#records = records;
    this.#links = new TaskLinks({ scratchRoot }, { exec, readKernel: () => readKernel(exec) });
    this.#links.remember(plane.kernel);
    const standing = new Set(this.#links.tasks());
    this.#tasks = new Map(
      recorded
        .filter(({ taskId }) => standing.has(taskId))
        .map((record) => [record.taskId, record]),
    );
    this.#lane = new WorkLane<TaskRecord>({
      converge: () => this.#converge(),
      depart: (taskIds) => this.#depart(taskIds),
      arrive: (arrivals) => this.#arrive(arrivals),
      arrivalsBatchMax,
      departuresBatchMax,
    });
  }

  /**
   * Resolves when the kernel is as this state, or a newer one, wants it. Rejects where it could not be made so; also when
   * a network had to be refused, after the others were carried out.
   */
  async apply(state: NetworkState): Promise<void> {
    const parsed = parseNetworkState(state, this.#memory);
    this.#state = state;
    this.#parsed = parsed;
    await this.#lane.converge();
    const [refusal, ...more] = this.#refusals;
    if (refusal === undefined) return;
    const others = more.length === 0 ? "" : ` (and ${more.length} more)`;
    throw new Fault(refusal.code, `Cannot carry everything: ${refusal.message}${others}`, {
      cause: refusal,
    });
  }

  /**
   * Reads what stands and repairs what is not as wanted, as after a stranger's `nft flush ruleset`. To read takes a second
   * of a busy host: what is to be changed meanwhile is changed first.
   */
  async repair(): Promise<void> {
    let seen: Seen | undefined;
    for (let looks = 0; seen === undefined && looks < looksMax; looks += 1) {
      if (this.#state === undefined) return;
      seen = await this.#lane.look(() => this.#plane.look());
    }
    this.#repair = { seen };
    await this.#lane.converge();
  }

  /** What was last wanted, for whoever looks for a fault. */
  get state(): NetworkState | undefined {
    return this.#state;
  }

  status(): NetworkStatus {
    return this.#status;
  }

  /** Networks that this host has beside the managers', for DNS: it answers at their gateways, too. */
  localNetworks(): readonly Network[] {
    return this.#bridge === undefined ? [] : [bridgeNetwork(this.#bridge)];
  }

  /** Idempotent. What was made is gone again when it fails, unless it stood before. */
  async attach(
    taskId: string,
    attachments: readonly NetworkAttachment[],
    { hostPorts = [], nameservers = [] }: AttachOptions = {},
  ): Promise<TaskNamespace> {
    try {
      if (!isId(taskId)) throw new Fault("invalid-argument", "this is no task's ID");
      if (attachments.length > attachmentsMax) {
        throw new Fault(
          "invalid-argument",
          `${attachmentsMax} networks are the most a task can have`,
        );
      }
      if (isOnHost(attachments)) return { path: undefined, addresses: [] };
      const real = realAttachments(attachments);
      await this.#lane.arrive({ taskId, attachments: real, hostPorts, nameservers });
      return this.#namespaceOf(taskId);
    } catch (error) {
      throw Fault.wrap(`Cannot attach task "${taskId}" to its networks`, error);
    }
  }

  /** Idempotent. */
  async detach(taskId: string): Promise<void> {
    try {
      await this.#lane.depart(taskId);
    } catch (error) {
      throw Fault.wrap(`Cannot detach task "${taskId}" from its networks`, error);
    }
  }

  /** Those that the task with this address has of its own. */
  nameserversOf(address: string): readonly string[] {
    this.#nameservers ??= nameserversByAddress(this.#tasks.values());
    return this.#nameservers.get(address) ?? [];
  }

  /** Tasks that have a namespace here, strays among them. */
  async list(): Promise<readonly string[]> {
    await this.#lane.idle();
    return this.#links.tasks();
  }

  /** Resolves when nothing is under way any more. */
  async idle(): Promise<void> {
    await this.#lane.idle();
    await this.#plane.idle();
  }

  /** Removes everything of ours from the kernel, links of running tasks too. For a host that leaves its cluster. */
  async cleanup(): Promise<void> {
    this.#state = undefined;
    this.#parsed = undefined;
    this.#bridge = undefined;
    const tasks = await this.list();
    await Promise.all(tasks.map((taskId) => this.detach(taskId)));
    this.#plane.distrust();
    await this.#lane.converge();
    await this.#docker.cleanup(this.#plane.kernel.ruleset);
    await this.idle();
    await rm(join(this.#scratchRoot, ".."), { recursive: true, force: true });
  }

  #namespaceOf(taskId: string): TaskNamespace {
    const attachments = this.#tasks.get(taskId)?.attachments ?? [];
    const nameserver = mainAttachment(resolveAttachments(attachments, this.#surroundings))?.overlay
      .ranges[0]?.gateway;
    return {
      path: join(namespaceRoot, taskId),
      addresses: this.#links.addresses(taskId),
      ...(nameserver === undefined ? {} : { nameserver }),
    };
  }

  async #converge(): Promise<void> {
    const startMs = this.#clock.monotonic();
    const repair = this.#repair;
    const repairing = repair !== undefined;
    const looked = repairing || this.#status.convergences === 0;
    this.#repair = undefined;
    if (repairing) this.#plane.trust(repair.seen ?? (await this.#plane.look()));
    if (repairing) this.#links.remember(this.#plane.kernel);
    await this.#placeBridge();
    const { steps, refusals } = await this.#plane.converge(this.#wanted());
    // Now that the devices are as wanted: the width of links is theirs.
    const mended = repairing ? await this.#mendLinks() : nothingMended;
    if (mended.taskIds.length > 0) await this.#plane.afterLinks(this.#links.veths);
    this.#refusals = [...(this.#parsed?.refusals ?? []), ...refusals, ...mended.refusals];
    this.#status = {
      ...this.#status,
      convergences: this.#status.convergences + 1,
      convergenceMs: this.#clock.monotonic() - startMs,
      refusals: this.#refusals.map(({ message }) => message),
    };
    const drift = [...mended.taskIds.map((taskId) => `link of task ${taskId}`), ...steps];
    if (repairing && drift.length > 0) this.#onDrift(drift);
    if (looked && this.#state !== undefined) {
      const obstacles = await this.#docker.apply(this.#plane.kernel.ruleset);
      this.#status = { ...this.#status, obstacles };
    }
  }

  #onDrift(drift: readonly string[]): void {
    const repairs = this.#status.repairs + 1;
    this.#status = { ...this.#status, repairs, drift: drift.slice(0, driftMax) };
    this.#log.warn("put back what others changed of the network", {
      changes: drift.length,
      first: drift[0] ?? "",
    });
  }

  async #mendLinks(): Promise<Mended> {
    if (this.#parsed === undefined) return nothingMended;
    const arrivals: Arrival[] = [];
    for (const { taskId, attachments } of this.#tasks.values()) {
      // One whose network is gone keeps its link as it is.
      const links = trySync(() => linksOf(attachments, this.#surroundings));
      if (links !== undefined) arrivals.push({ taskId, links });
    }
    return await this.#links.mend(arrivals, this.#plane.kernel, this.#linkHost());
  }

  async #placeBridge(): Promise<void> {
    if (this.#parsed === undefined) return;
    const { overlays } = this.#parsed;
    const choose = () => {
      const { dataPlane, hostSubnets } = this.#plane.kernel;
      return chooseBridge(dataPlane.subnets, overlays, hostSubnets);
    };
    const isStanding = (bridge: Overlay | undefined) =>
      bridge?.ranges.every(({ subnet }) => this.#plane.kernel.dataPlane.subnets.has(subnet.text));
    this.#bridge = choose();
    if (isStanding(this.#bridge)) return;
    // The host may have got routes since we looked.
    await this.#plane.refresh();
    this.#bridge = choose();
  }

  #wanted(): Wanted | undefined {
    if (this.#state === undefined || this.#parsed === undefined) return undefined;
    const { services, endpoints, dataPathPort } = this.#state;
    const { overlays } = this.#parsed;
    const all = this.#bridge === undefined ? overlays : [...overlays, this.#bridge];
    return {
      network: { ...this.#parsed, overlays: all },
      services,
      endpoints,
      dataPathPort,
      attached: [...this.#links.addresses(), ...this.#recordedAddresses()],
      veths: this.#links.veths,
      hostPorts: [...this.#tasks.values()].flatMap((task) => this.#hostPortsOf(task)),
    };
  }

  /** Also of tasks whose links a stranger has broken. */
  #recordedAddresses(): readonly string[] {
    const attachments = [...this.#tasks.values()].flatMap((task) => task.attachments);
    return attachments.flatMap(({ addresses }) => addresses.map(addressPart));
  }

  #hostPortsOf({ taskId, attachments, hostPorts }: TaskRecord): readonly HostPort[] {
    if (hostPorts.length === 0) return [];
    const resolved = trySync(() => resolveAttachments(attachments, this.#surroundings)) ?? [];
    const addresses = mainAttachment(resolved)?.addresses ?? [];
    return addresses.length === 0 ? [] : hostPorts.map((port) => ({ taskId, port, addresses }));
  }

  async #depart(taskIds: readonly string[]): Promise<void> {
    const addresses = taskIds.flatMap((taskId) => this.#links.addresses(taskId));
    const published = taskIds.some((taskId) => this.#tasks.get(taskId)?.hostPorts.length);
    for (const taskId of taskIds) this.#tasks.delete(taskId);
    this.#nameservers = undefined;
    // No port leads to where nobody is.
    if (published) await this.#tryToConverge();
    await this.#plane.beforeLinks(addresses, this.#links.veths);
    await this.#links.detach(taskIds);
    await this.#records.forget(taskIds);
    this.#plane.onDetached(addresses);
    // The task may live on elsewhere, and its network may have waited for it to leave.
    if (this.#state !== undefined && addresses.length > 0) await this.#tryToConverge();
  }

  /** What was asked for is done without it; the next state repairs the rest. */
  async #tryToConverge(): Promise<void> {
    const converged = await settle(() => this.#converge());
    if (converged.status === "fulfilled") return;
    this.#log.warn("network is not as wanted", { reason: Fault.from(converged.reason).message });
  }

  async #arrive(arrivals: readonly TaskRecord[]): Promise<readonly PromiseSettledResult<void>[]> {
    const together = await settle(() => this.#attach(arrivals));
    if (together.status === "fulfilled" || arrivals.length === 1)
      return arrivals.map(() => together);
    // One bad line ends a batch: alone, every other task succeeds.
    const results: PromiseSettledResult<void>[] = [];
    for (const arrival of arrivals) results.push(await settle(() => this.#attach([arrival])));
    return results;
  }

  async #attach(arrivals: readonly TaskRecord[]): Promise<void> {
    const taken = [...this.#links.addresses()];
    const records = arrivals.map((arrival) => {
      const own = this.#links.addresses(arrival.taskId);
      return withBridgeAddress(arrival, this.#bridge, { own, taken });
    });
    const links = records.map(({ taskId, attachments }) => ({
      taskId,
      links: linksOf(attachments, this.#surroundings),
    }));
    for (const record of records) await this.#records.save(record);
    const standing = new Set(this.#links.addresses());
    const fresh = links.flatMap((task) => task.links.flatMap(({ addresses }) => addresses));
    await this.#plane.beforeLinks(
      fresh.filter((address) => !standing.has(address)),
      this.#links.veths,
    );
    await this.#links.attach(links, this.#linkHost());
    for (const record of records) this.#tasks.set(record.taskId, record);
    this.#nameservers = undefined;
    const attached = records.flatMap(({ taskId }) => this.#links.addresses(taskId));
    this.#plane.onAttached(attached);
    if (records.some(({ hostPorts }) => hostPorts.length > 0)) await this.#converge();
  }

  get #surroundings(): Surroundings {
    return { bridge: this.#bridge, kernel: this.#plane.kernel };
  }

  #linkHost() {
    const self = this.#parsed?.self;
    return { source: self?.address ?? "", source6: self?.addresses6[0] };
  }
}

function trySync<Value>(work: () => Value): Value | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}

async function settle(work: () => Promise<void>): Promise<PromiseSettledResult<void>> {
  try {
    return { status: "fulfilled", value: await work() };
  } catch (reason) {
    return { status: "rejected", reason };
  }
}
