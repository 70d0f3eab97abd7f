/**
 * The network of a host: converges the kernel to what the managers want, and gives tasks their namespaces and links. It
 * is the one writer of everything that data-plane.ts pictures, and it owns the namespaces in /run/netns that are named
 * after tasks.
 *
 * All changes go through one lane: a state that is overtaken while it waits is never performed, fifty tasks cost a few
 * processes, and no two writers meet. Between changes the picture in memory is trusted; after an error it is read anew.
 */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Exec } from "#agent/exec.ts";
import { Fault } from "#proto/fault.ts";
import type { NetworkAttachment } from "#proto/gen/swarm/v1/types_pb.ts";
import { isId } from "#proto/ids.ts";
import type { Log } from "#proto/ports.ts";
import { attachmentsMax, mainAttachment } from "./attachment.ts";
import { forgetFlows } from "./conntrack.ts";
import { type DataPlane, emptyDataPlane, retainAttached, wantedDataPlane } from "./data-plane.ts";
import { type Kernel, namespaceRoot, readKernel } from "./kernel-reader.ts";
import {
  type NetworkState,
  type ParsedNetworkState,
  parseAttachments,
  parseNetworkState,
} from "./network-state.ts";
import { planDataPlane, type Step } from "./plan.ts";
import type { RulesetOptions } from "./ruleset.ts";
import { type Arrival, type LinkHost, TaskLinks } from "./task-links.ts";
import { WorkLane } from "./work-lane.ts";

export type { NetworkState } from "./network-state.ts";

export interface NetworkDriverOptions {
  readonly runRoot: string;
  /** Name, network identifier and UDP port of the VXLAN device; the last two are the same on all nodes. */
  readonly device?: string;
  readonly vni?: number;
  readonly port?: number;
}

export interface NetworkDriverModules {
  readonly exec: Exec;
  readonly log: Log;
}

export interface TaskNamespace {
  readonly path: string;
  /** The gateway of the task's main network; none: the task has no network. */
  readonly nameserver?: string;
}

/** Tasks per process of `ip`: the first of them waits for the last. */
const arrivalsBatchMax = 16;
const departuresBatchMax = 128;

/** Of a namespace that has no link; a number is needed and not used. */
const noHost: LinkHost = { mtu: 0, source: "" };

export class NetworkDriver {
  readonly #ruleset: RulesetOptions;
  readonly #scratchRoot: string;
  readonly #exec: Exec;
  readonly #log: Log;
  readonly #lane: WorkLane<Arrival>;
  readonly #links: TaskLinks;
  #kernel: Kernel;
  /** False after an error: what stands may not be what is remembered. */
  #known = true;
  #wanted: ParsedNetworkState | undefined;

  /** Reads what stands and changes none of it, but for the remains of a detach that did not come to its end. */
  static async open(
    options: NetworkDriverOptions,
    modules: NetworkDriverModules,
  ): Promise<NetworkDriver> {
    const ruleset = {
      device: options.device ?? "sw-vx0",
      vni: options.vni ?? 4096,
      port: options.port ?? 4789,
    };
    const scratchRoot = join(options.runRoot, "network");
    await rm(scratchRoot, { recursive: true, force: true });
    await mkdir(scratchRoot, { recursive: true });
    const kernel = await readKernel(modules.exec, ruleset);
    const driver = new NetworkDriver({ ruleset, scratchRoot, kernel }, modules);
    await driver.#links.removeOrphans();
    return driver;
  }

  /** For `open`. */
  constructor(
    options: { ruleset: RulesetOptions; scratchRoot: string; kernel: Kernel },
    modules: NetworkDriverModules,
  ) {
    const { ruleset, scratchRoot, kernel } = options;
    this.#ruleset = ruleset;
    this.#scratchRoot = scratchRoot;
    this.#exec = modules.exec;
    this.#log = modules.log;
    this.#kernel = kernel;
    const reader = () => readKernel(modules.exec, ruleset);
    this.#links = new TaskLinks({ scratchRoot }, { exec: modules.exec, readKernel: reader });
    this.#links.remember(kernel);
    this.#lane = new WorkLane<Arrival>({
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
    const wanted = parseNetworkState(state);
    this.#wanted = wanted;
    await this.#lane.converge();
    const [refusal, ...more] = wanted.refusals;
    if (refusal === undefined) return;
    const others = more.length === 0 ? "" : ` (and ${more.length} more)`;
    throw new Fault(refusal.code, `Cannot carry every network: ${refusal.message}${others}`, {
      cause: refusal,
    });
  }

  /** Reads what stands and repairs what is not as wanted, as after a stranger's `nft flush ruleset`. */
  async repair(): Promise<void> {
    if (this.#wanted === undefined) return;
    this.#known = false;
    await this.#lane.converge();
  }

  /** Idempotent. What was made is gone again when it fails, unless it stood before. */
  async attach(taskId: string, attachments: readonly NetworkAttachment[]): Promise<TaskNamespace> {
    try {
      if (!isId(taskId)) throw new Fault("invalid-argument", "this is no task's ID");
      if (attachments.length > attachmentsMax) {
        throw new Fault(
          "invalid-argument",
          `${attachmentsMax} networks are the most a task can have`,
        );
      }
      const parsed = parseAttachments(attachments);
      await this.#lane.arrive({ taskId, attachments: parsed });
      const nameserver = mainAttachment(parsed)?.overlay.gateway;
      const path = join(namespaceRoot, taskId);
      return nameserver === undefined ? { path } : { path, nameserver };
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

  /** Tasks that have a namespace here, strays among them. */
  async list(): Promise<readonly string[]> {
    await this.#lane.idle();
    return this.#links.tasks();
  }

  /** Removes everything of ours from the kernel, links of running tasks too. For a host that leaves its cluster. */
  async cleanup(): Promise<void> {
    this.#wanted = undefined;
    const tasks = await this.list();
    await Promise.all(tasks.map((taskId) => this.detach(taskId)));
    this.#known = false;
    await this.#lane.converge();
    await rm(this.#scratchRoot, { recursive: true, force: true });
  }

  async #converge(): Promise<void> {
    try {
      await this.#attemptConverge();
    } catch (error) {
      // Something of ours was changed behind our back: the second attempt starts from what is there.
      this.#known = false;
      this.#log.warn("reading the host's network anew", { reason: Fault.from(error).message });
      await this.#attemptConverge();
    }
  }

  async #attemptConverge(): Promise<void> {
    try {
      if (!this.#known) await this.#reread();
      const wanted = await this.#wantedDataPlane();
      const steps = planDataPlane(this.#kernel.dataPlane, wanted, this.#ruleset);
      for (const step of steps) await this.#perform(step);
      this.#kernel = { ...this.#kernel, dataPlane: wanted };
    } catch (error) {
      this.#known = false;
      throw Fault.wrap("Cannot program the host's network", error);
    }
  }

  async #wantedDataPlane(): Promise<DataPlane> {
    if (this.#wanted === undefined) return emptyDataPlane;
    const underlayMtu = await this.#underlayMtu(this.#wanted.self.address);
    const wanted = wantedDataPlane(this.#wanted, { ...this.#ruleset, underlayMtu });
    return retainAttached(wanted, this.#kernel.dataPlane, this.#links.addresses());
  }

  async #underlayMtu(address: string): Promise<number> {
    // The host may have got the address since we looked.
    if (!this.#kernel.mtuOfAddress.has(address)) await this.#reread();
    const mtu = this.#kernel.mtuOfAddress.get(address);
    if (mtu !== undefined) return mtu;
    throw new Fault(
      "failed-precondition",
      `no interface of this host has the data-path address ${address}; give it one or join with another`,
    );
  }

  async #reread(): Promise<void> {
    this.#kernel = await readKernel(this.#exec, this.#ruleset);
    this.#links.remember(this.#kernel);
    this.#known = true;
  }

  async #perform(step: Step): Promise<void> {
    if (step.kind === "sysctl") return await writeFile(`/proc/sys/net/${step.path}`, step.value);
    const args = step.kind === "nft" ? ["-f", "-"] : ["-batch", "-"];
    await this.#exec.run(step.kind, args, { input: `${step.lines.join("\n")}\n` });
  }

  async #depart(taskIds: readonly string[]): Promise<void> {
    const addresses = taskIds.flatMap((taskId) => this.#links.addresses(taskId));
    await this.#links.detach(taskIds);
    await forgetFlows(addresses, { exec: this.#exec, log: this.#log });
    // The task may live on elsewhere, and its network may have waited for it to leave.
    if (this.#wanted === undefined || addresses.length === 0) return;
    const converged = await settle(() => this.#converge());
    if (converged.status === "fulfilled") return;
    // The tasks are gone, and that is what was asked for; the next state repairs the rest.
    this.#log.warn("network is not as wanted", { reason: Fault.from(converged.reason).message });
  }

  async #arrive(arrivals: readonly Arrival[]): Promise<readonly PromiseSettledResult<void>[]> {
    const together = await settle(() => this.#attach(arrivals));
    if (together.status === "fulfilled" || arrivals.length === 1)
      return arrivals.map(() => together);
    // One bad line ends a batch: alone, every other task succeeds.
    const results: PromiseSettledResult<void>[] = [];
    for (const arrival of arrivals) results.push(await settle(() => this.#attach([arrival])));
    return results;
  }

  async #attach(arrivals: readonly Arrival[]): Promise<void> {
    const attachments = arrivals.flatMap((arrival) => arrival.attachments);
    const { dataPlane } = this.#kernel;
    const { vxlan, subnets } = dataPlane;
    const early = attachments.find(
      ({ overlay }) => vxlan === undefined || !subnets.has(overlay.subnet.text),
    );
    if (early !== undefined) {
      throw new Fault(
        "unavailable",
        `network "${early.overlay.id}" has not been set up on this host; wait for the managers' word`,
      );
    }
    const host = vxlan === undefined ? noHost : { mtu: vxlan.mtu, source: vxlan.local };
    await this.#links.attach(arrivals, host);
    // A route to where the task was before is replaced by the one to its link.
    const routes = new Map(dataPlane.routes);
    for (const { address } of attachments) routes.delete(address);
    this.#kernel = { ...this.#kernel, dataPlane: { ...dataPlane, routes } };
  }
}

async function settle(work: () => Promise<void>): Promise<PromiseSettledResult<void>> {
  try {
    return { status: "fulfilled", value: await work() };
  } catch (reason) {
    return { status: "rejected", reason };
  }
}
