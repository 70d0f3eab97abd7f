/**
 * The one writer of what data-plane.ts pictures, and of the services' maps: leads the kernel from what stands to what is
 * wanted, encryption's link included. Between convergences what was written is remembered; after an error and for a repair
 * it is read anew. Called by one lane only, but for `look`.
 */
import { writeFile } from "node:fs/promises";
import type { Exec } from "#agent/exec.ts";
import { Fault } from "#proto/fault.ts";
import type { NetworkEndpoint, ServiceEndpoint } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Log } from "#proto/ports.ts";
import { StaleFlows } from "./conntrack.ts";
import {
  type DataPlane,
  DataPlaneMemory,
  emptyDataPlane,
  retainAttached,
  rulesetOptions,
  wantedDataPlane,
} from "./data-plane.ts";
import { dataPathPortDefault } from "./devices.ts";
import type { FastPath } from "./fastpath/fast-path.ts";
import { placesOf, PlacesMemory } from "./fastpath/places.ts";
import { type Kernel, readKernel } from "./kernel-reader.ts";
import type { ParsedNetworkState } from "./network-state.ts";
import { planDataPlane, type Step } from "./plan.ts";
import type { RulesetOptions } from "./ruleset/options.ts";
import { emptyServices, type ServicePicture } from "./services/picture.ts";
import { planServices } from "./services/plan.ts";
import { readServices } from "./services/reader.ts";
import { newUdpPorts } from "./services/udp-ports.ts";
import { type HostPort, wantedServices } from "./services/wanted.ts";
import { hostSubnet, overlap, parseSubnet } from "./subnet.ts";
import type { Encryption, EncryptionLink } from "./wireguard/encryption.ts";

export interface HostPlaneModules {
  readonly exec: Exec;
  readonly log: Log;
  /** Undefined: this host carries no encrypted networks. */
  readonly encryption: Encryption | undefined;
  /** Undefined: this host goes without. */
  readonly fastPath: FastPath | undefined;
}

export type Veths = ReadonlyMap<string, readonly string[]>;

/** Everything that is wanted of the host. */
export interface Wanted {
  readonly network: ParsedNetworkState;
  readonly services: readonly ServiceEndpoint[];
  readonly endpoints: readonly NetworkEndpoint[];
  /** 0: the default. */
  readonly dataPathPort: number;
  /** Addresses of tasks that have their link here. */
  readonly attached: readonly string[];
  /** Host sides of the links that stand → the tasks' addresses. */
  readonly veths: Veths;
  readonly hostPorts: readonly HostPort[];
}

export interface Converged {
  /** What was done, for people who ask what had changed. */
  readonly steps: readonly string[];
  /** What could not be carried, of services and encryption. */
  readonly refusals: readonly Fault[];
}

/** What stands, as far as it was looked at. */
export interface Seen {
  readonly kernel: Kernel;
  readonly services: ServicePicture | undefined;
}

/** All services' elements are looked at again only so rarely, where they are many: it takes seconds. */
const largeLookPeriod = 20;
const smallElementsMax = 20_000;

export class HostPlane {
  readonly #scratchRoot: string;
  readonly #exec: Exec;
  readonly #log: Log;
  readonly #encryption: Encryption | undefined;
  readonly #fastPath: FastPath | undefined;
  readonly #memory = new DataPlaneMemory();
  readonly #places = new PlacesMemory();
  readonly #flows: StaleFlows;
  #kernel: Kernel;
  #services: Awaited<ReturnType<typeof wantedServices>> | ServicePicture = emptyServices;
  /** False after an error: what stands may not be what is remembered. */
  #known = true;
  /** False on a start, too: to read them may take seconds, and the node's session shall not wait for that. */
  #servicesKnown = false;
  #looks = 0;

  /** `scratchRoot` is a folder for files that live as long as one command. */
  static async open(scratchRoot: string, modules: HostPlaneModules): Promise<HostPlane> {
    const kernel = await readKernel(modules.exec);
    return new HostPlane({ kernel, scratchRoot }, modules);
  }

  /** For `open`. */
  constructor(
    start: { kernel: Kernel; scratchRoot: string },
    { exec, log, encryption, fastPath }: HostPlaneModules,
  ) {
    this.#scratchRoot = start.scratchRoot;
    this.#kernel = start.kernel;
    this.#exec = exec;
    this.#log = log;
    this.#encryption = encryption;
    this.#fastPath = fastPath;
    this.#flows = new StaleFlows({ exec, log, scratchRoot: start.scratchRoot });
  }

  get kernel(): Kernel {
    return this.#kernel;
  }

  /** What is remembered is not trusted any more. */
  distrust(): void {
    this.#known = false;
    this.#servicesKnown = false;
  }

  /** For a repair. Changes nothing of what is remembered; what it comes to holds until something is changed. */
  async look(): Promise<Seen> {
    this.#looks += 1;
    const whole = this.#elementCount() <= smallElementsMax || this.#looks % largeLookPeriod === 0;
    try {
      await this.#encryption?.repair();
    } catch (error) {
      // Converging tries again, and carries the plain networks all the same.
      this.#log.warn("cannot repair encryption", { reason: Fault.from(error).message });
    }
    const kernel = await readKernel(this.#exec);
    return { kernel, services: whole ? await this.#readServices() : undefined };
  }

  /** What was seen takes the place of what is remembered. */
  trust({ kernel, services }: Seen): void {
    const { dataPlane } = kernel;
    const routes = dataPlane.routes.like(this.#kernel.dataPlane.routes);
    this.#kernel = { ...kernel, dataPlane: { ...dataPlane, routes } };
    this.#known = true;
    this.#services = services ?? this.#services;
    this.#servicesKnown ||= services !== undefined;
    this.#fastPath?.forget();
  }

  /** Undefined: nothing is wanted. */
  async converge(wanted: Wanted | undefined): Promise<Converged> {
    try {
      return await this.#attempt(wanted);
    } catch (error) {
      // Something of ours was changed behind our back: the second attempt starts from what is there.
      this.distrust();
      this.#log.warn("reading the host's network anew", { reason: Fault.from(error).message });
      return await this.#attempt(wanted);
    }
  }

  /** Before links of these addresses come or go. `veths`: what stands. */
  async beforeLinks(addresses: readonly string[], veths: Veths): Promise<void> {
    if (this.#fastPath === undefined || addresses.length === 0) return;
    const places = placesOf(this.#kernel.dataPlane, veths, this.#places);
    await this.#fastPath.retire(places.with(addresses, []));
  }

  /** Of tasks whose links are gone. */
  onDetached(addresses: readonly string[]): void {
    this.#flows.forget(addresses);
  }

  /** Resolves when nothing goes on beside the lane any more. */
  async idle(): Promise<void> {
    await this.#flows.idle();
  }

  /** Where a task's link stands, the route to its former host does not. */
  onAttached(addresses: readonly string[]): void {
    this.#flows.keep(addresses);
    const { dataPlane } = this.#kernel;
    const routes = dataPlane.routes.with(addresses, []);
    this.#kernel = { ...this.#kernel, dataPlane: { ...dataPlane, routes } };
  }

  /** Late is slow, not wrong: links of new tasks wait for the next convergence, which makes all of them in two processes. */
  async afterLinks(veths: Veths): Promise<void> {
    if (this.#fastPath === undefined) return;
    try {
      await this.#fastPath.enlist(placesOf(this.#kernel.dataPlane, veths, this.#places));
    } catch (error) {
      this.#log.warn("new links are not in the fast path", { reason: Fault.from(error).message });
    }
  }

  /** Of the interface that has this address. */
  async underlayMtu(address: string): Promise<number> {
    // The host may have got the address since we looked.
    if (!this.#kernel.mtuOfAddress.has(address)) await this.refresh();
    const mtu = this.#kernel.mtuOfAddress.get(address);
    if (mtu !== undefined) return mtu;
    throw new Fault(
      "failed-precondition",
      `no interface of this host has the data-path address ${address}; give it one or join with another`,
    );
  }

  async #attempt(wanted: Wanted | undefined): Promise<Converged> {
    try {
      await this.#read();
      return wanted === undefined ? await this.#clear() : await this.#lead(wanted);
    } catch (error) {
      this.distrust();
      throw Fault.wrap("Cannot program the host's network", error);
    }
  }

  async #lead(wanted: Wanted): Promise<Converged> {
    const { network, attached, veths } = wanted;
    const underlayMtu = await this.underlayMtu(network.self.address);
    const { link, refusals } = await this.#encrypt(wanted, underlayMtu);
    const port = wanted.dataPathPort || dataPathPortDefault;
    const { ipv6, advertised, dataPlane } = this.#kernel;
    const options = { port, underlayMtu, encryption: link, ipv6, advertised };
    const pure = wantedDataPlane(network, options, this.#memory);
    const plane = retainAttached(pure, dataPlane, attached);
    const before = this.#services;
    const services = await wantedServices(
      {
        nodeId: network.self.id,
        networkIds: new Set(network.overlays.map(({ id }) => id)),
        services: wanted.services,
        endpoints: wanted.endpoints,
        hostPorts: wanted.hostPorts,
      },
      before,
    );
    // What goes or changes leaves the shortcut first, and enters it last.
    const places = this.#fastPath && placesOf(plane, veths, this.#places);
    if (places !== undefined) await this.#fastPath?.retire(places);
    const own = [...network.self.addresses, ...network.self.addresses6];
    try {
      const steps = await this.#change(plane, services, rulesetOptions(network.self, port));
      if (places !== undefined) await this.#fastPath?.enlist(places);
      return { steps, refusals: [...refusals, ...services.refusals] };
    } finally {
      // Also where not all could be changed: a second attempt does not see any more what the first one took away.
      const came = [...plane.routes.notIn(dataPlane.routes)].map(([address]) => address);
      this.#flows.keep(came);
      const left = [...dataPlane.routes.notIn(plane.routes)].map(([address]) => address);
      const gone = left.filter((address) => !plane.routes.has(address));
      this.#flows.forget(gone, newUdpPorts(before, services, own));
    }
  }

  async #clear(): Promise<Converged> {
    await this.#fastPath?.cleanup();
    const steps = await this.#change(emptyDataPlane, emptyServices, undefined);
    await this.#encryption?.apply({
      self: { number: 0 },
      peers: [],
      wanted: false,
      underlayMtu: 0,
    });
    return { steps, refusals: [] };
  }

  async #change(
    plane: DataPlane,
    services: ServicePicture,
    ruleset: RulesetOptions | undefined,
  ): Promise<readonly string[]> {
    const { dataPlane } = this.#kernel;
    const standing = dataPlane.table === plane.table ? this.#services : emptyServices;
    // With the table they go by themselves.
    const lines = ruleset === undefined ? [] : await planServices(standing, services);
    const steps = planDataPlane(dataPlane, plane, { ruleset, services: lines });
    for (const step of steps) await this.#perform(step);
    this.#kernel = { ...this.#kernel, dataPlane: plane };
    this.#services = services;
    return steps.flatMap(wordsOf);
  }

  /** Plain networks do not need it: where it fails, the others go on. */
  async #encrypt(
    { network: { self, peers, overlays }, attached }: Wanted,
    underlayMtu: number,
  ): Promise<{ link: EncryptionLink | undefined; refusals: readonly Fault[] }> {
    const secret = overlays.find(({ encrypted }) => encrypted);
    // A task in its grace needs the link, though its network is told of no more.
    const { secret: before, secret6: before6 } = this.#kernel.dataPlane.elements;
    const standing = [...before.keys(), ...before6.keys()].map(parseSubnet);
    const inGrace = attached
      .map(hostSubnet)
      .some((address) => standing.some((subnet) => overlap(subnet, address)));
    const wanted = secret !== undefined || inGrace;
    if (this.#encryption === undefined) {
      const lacking = new Fault(
        "unimplemented",
        `network "${secret?.name}" wants encryption, which this host does not carry`,
      );
      return { link: undefined, refusals: wanted ? [lacking] : [] };
    }
    try {
      const link = await this.#encryption.apply({ self, peers, wanted, underlayMtu });
      return { link, refusals: [] };
    } catch (error) {
      return { link: undefined, refusals: [Fault.wrap("Cannot encrypt networks", error)] };
    }
  }

  /** Looks at what of the host is not ours, too. */
  async refresh(): Promise<void> {
    this.#known = false;
    await this.#read();
  }

  /** What is not known. */
  async #read(): Promise<void> {
    if (!this.#known) this.#kernel = await readKernel(this.#exec);
    this.#known = true;
    if (!this.#servicesKnown) this.#services = await this.#readServices();
    this.#servicesKnown = true;
  }

  async #readServices(): Promise<ServicePicture> {
    return await readServices(this.#exec, this.#scratchRoot);
  }

  async #perform(step: Step): Promise<void> {
    if (step.kind === "sysctl") return await writeFile(`/proc/sys/net/${step.path}`, step.value);
    const input = `${step.lines.join("\n")}\n`;
    if (step.kind === "nft") await this.#exec.run("nft", ["-f", "-"], { input });
    else if (step.kind === "ip6") await this.#exec.run("ip", ["-6", "-batch", "-"], { input });
    else await this.#exec.run(step.kind, ["-batch", "-"], { input });
  }

  #elementCount(): number {
    let count = 0;
    for (const map of Object.values(this.#services.maps)) {
      for (const slots of map.values()) count += slots.length;
    }
    return count;
  }
}

/** Of a table that is made anew not each line. */
function wordsOf(step: Step): readonly string[] {
  if (step.kind === "sysctl") return [`${step.path} = ${step.value}`];
  const table = step.lines.find((line) => /^table \w+ swarm \{$/.test(line));
  return table === undefined ? step.lines : [table.replace(/ \{$/, "")];
}
