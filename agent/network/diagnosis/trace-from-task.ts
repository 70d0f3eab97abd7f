/**
 * Follows a packet from a task of this host: name, service, rules, route, and the next host's address. What managers want is
 * compared with what the kernel has at each step, so that the step that fails is the one to mend; in the end it is tried.
 */
import { create } from "@bufbuild/protobuf";
import type { NetworkEndpoint } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import {
  type TraceFromTaskRequest,
  type TraceFromTaskResponse,
  TraceFromTaskResponseSchema,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import { isAddress } from "#proto/ipv4.ts";
import { isAddress6 } from "#proto/ipv6.ts";
import { Zone } from "../../dns/zone.ts";
import { isVethOf } from "../attachment.ts";
import type { NetworkState } from "../network-state.ts";
import { isText6 } from "../subnet.ts";
import { addressesOf, backendsOf, networkName, placeOf } from "./places.ts";
import { hostSide, type Questions } from "./questions.ts";
import { Walk } from "./walk.ts";

/** What has to be mended elsewhere than by the user mends itself. */
const repairWords = "it is put back within a minute; else restart swarmd on this host";

export class TraceFromTask {
  readonly #walk = new Walk();
  readonly #request: TraceFromTaskRequest;
  readonly #state: NetworkState;
  readonly #questions: Questions;
  readonly #own: readonly NetworkEndpoint[];
  /** The task's addresses → their interfaces in its namespace. */
  readonly #devices = new Map<string, string>();
  #answered = false;

  constructor(request: TraceFromTaskRequest, state: NetworkState, questions: Questions) {
    this.#request = request;
    this.#state = state;
    this.#questions = questions;
    this.#own = state.endpoints.filter(({ taskId }) => taskId === request.taskId);
  }

  async run(): Promise<TraceFromTaskResponse> {
    const next = await this.#run();
    return create(TraceFromTaskResponseSchema, {
      steps: this.#walk.steps,
      nextTaskId: next?.target.taskId ?? "",
      nextNodeId: next?.target.nodeId ?? "",
      sourceAddress: next?.source ?? "",
      answered: this.#answered,
    });
  }

  /** The task at the end, and the address that it sees; undefined: there is none, or the way ends before it. */
  async #run(): Promise<{ target: NetworkEndpoint; source: string } | undefined> {
    if (!(await this.#begin())) return undefined;
    const address = this.#resolve();
    const target = address === undefined ? undefined : await this.#target(address);
    if (address === undefined || target === undefined) return undefined;
    if (typeof target === "string") {
      await this.#try(target);
      return undefined;
    }
    const source = this.#sourceFor(target, address);
    if (source === undefined) return undefined;
    await this.#follow(source, this.#addressLike(target, address), target);
    if (this.#walk.failed) return undefined;
    await this.#try(address);
    return { target, source };
  }

  /** Whether the task has what it should have in its namespace. */
  async #begin(): Promise<boolean> {
    const { taskId } = this.#request;
    const interfaces = await this.#questions.interfaces(taskId);
    if (interfaces === undefined) {
      this.#walk.fail(
        "the task has no network namespace on this host: it does not run here yet, or any more",
      );
      return false;
    }
    for (const endpoint of this.#own) {
      for (const address of addressesOf(endpoint)) {
        const link = interfaces.find(({ addresses }) => addresses.includes(address));
        const where = networkName(this.#state, endpoint.networkId);
        this.#devices.set(address, link?.device ?? "");
        if (link?.up === true) this.#walk.ok(`it has ${address} on ${where} (${link.device})`);
        else this.#walk.fail(`it has not got ${address} on ${where}: start the task anew`);
      }
    }
    if (this.#own.length === 0) this.#walk.note("it is on no network of the cluster");
    return !this.#walk.failed;
  }

  /** The address that DNS gives the task. */
  #resolve(): string | undefined {
    const { destination } = this.#request;
    if (isAddress(destination) || isAddress6(destination)) return destination;
    const zone = new Zone();
    zone.update(this.#state);
    const [first] = this.#own;
    const asker = { networkId: first?.networkId ?? "", address: first?.address ?? "" };
    const targets = first && zone.view(asker).find(destination.toLowerCase());
    if (targets === undefined) {
      this.#walk.fail(
        `no network of the task has the name "${destination}": name a service or task that shares one, or give an address`,
      );
      return undefined;
    }
    const addresses = targets.map(({ address, address6 }) => address || address6);
    const [address] = addresses;
    if (address === undefined) {
      this.#walk.fail(`"${destination}" has no address now: none of its tasks runs and is healthy`);
      return undefined;
    }
    this.#walk.ok(`"${destination}" is ${addresses.join(", ")}`);
    return address;
  }

  /** The task at the end; a text: an address that is no task's, and can be tried. Undefined: the way ends here. */
  async #target(address: string): Promise<NetworkEndpoint | string | undefined> {
    const place = placeOf(this.#state, address);
    switch (place.kind) {
      case "task":
        return place.endpoint;
      case "service":
        return await this.#backend(address, place.service.id, place.networkId);
      case "nobody": {
        const where = networkName(this.#state, place.network.id);
        this.#walk.fail(`${address} is an address of ${where} that no task has`);
        return undefined;
      }
      case "node":
        this.#walk.note(`${address} is a node's own address`);
        return address;
      case "outside":
        this.#walk.note(
          `${address} is on no network that this host's tasks are on: the task's packets leave by the host, with its address`,
        );
        return address;
    }
  }

  async #backend(
    address: string,
    serviceId: string,
    networkId: string,
  ): Promise<NetworkEndpoint | undefined> {
    const backends = backendsOf(this.#state, serviceId, networkId);
    const name = this.#state.services.find(({ id }) => id === serviceId)?.name ?? serviceId;
    const [backend] = backends;
    if (backend === undefined) {
      this.#walk.fail(
        `${address} is service "${name}", of which no task runs and is healthy: see swarmctl service ps ${name}`,
      );
      return undefined;
    }
    const six = isText6(address) ? "6" : "";
    const chosen =
      (await this.#questions.element(`vip${six}`, `${address} . 0`)) ??
      (await this.#questions.element(`vipa${six}`, `${address} . 0`));
    const known = backends.find((one) => addressesOf(one).includes(chosen?.value ?? ""));
    if (chosen === undefined || known === undefined) {
      this.#walk.fail(
        `this host's rules do not lead ${address} to a task of service "${name}": ${repairWords}`,
      );
      return undefined;
    }
    const all = backends.map((one) => one.taskName || one.taskId).join(", ");
    this.#walk.ok(`${address} is service "${name}" with ${all}`);
    return known;
  }

  #sourceFor(target: NetworkEndpoint, address: string): string | undefined {
    const own = this.#own.find(({ networkId }) => networkId === target.networkId);
    if (own === undefined) {
      const where = networkName(this.#state, target.networkId);
      this.#walk.fail(
        `${address} is on ${where}, and the task is not: add it with swarmctl service update --network-add`,
      );
      return undefined;
    }
    return this.#addressLike(own, address);
  }

  #addressLike({ address, address6 }: NetworkEndpoint, other: string): string {
    return isText6(other) ? address6 : address;
  }

  /** Rules, route, and where the next host is. */
  async #follow(source: string, to: string, target: NetworkEndpoint): Promise<void> {
    const { taskId } = this.#request;
    const set = isText6(to) ? "samenet6" : "samenet";
    if ((await this.#questions.element(set, `${source} . ${to}`)) === undefined) {
      this.#walk.fail(`this host's rules refuse ${source} → ${to}: ${repairWords}`);
      return;
    }
    this.#walk.ok(`the rules let ${source} reach ${to}`);
    const link = hostSide(taskId, this.#devices.get(source) ?? "");
    const route = await this.#questions.route({ to, from: source, link });
    if (typeof route === "string") {
      this.#walk.fail(`this host has no way to ${to} (${route}): ${repairWords}`);
    } else if (isVethOf(target.taskId, route.device)) {
      this.#walk.ok(`${to} is on this host, behind ${route.device}`);
    } else await this.#toPeer(route, target);
  }

  async #toPeer(
    { device, gateway }: { readonly device: string; readonly gateway: string },
    target: NetworkEndpoint,
  ): Promise<void> {
    const mac = await this.#questions.neighbour(gateway, device);
    const end = mac === undefined ? undefined : await this.#questions.destination(mac, device);
    if (end === undefined) {
      this.#walk.fail(`${device} does not know where ${gateway} is: ${repairWords}`);
      return;
    }
    const peer = this.#state.peers.find(({ nodeId }) => nodeId === target.nodeId);
    this.#walk.ok(
      `${device} carries it to ${end}${peer === undefined ? "" : ` (node ${peer.nodeId})`}`,
    );
  }

  async #try(address: string): Promise<void> {
    const { taskId, port } = this.#request;
    const answer = await (port === 0
      ? this.#questions.ping(taskId, address)
      : this.#questions.connect(taskId, address, port));
    const what = port === 0 ? "an echo" : `a connection to port ${port}`;
    this.#answered = answer.kind === "answered";
    if (answer.kind === "answered") this.#walk.ok(`${address} answers ${what}`);
    else this.#walk.note(`${address} does not answer ${what}: ${answer.why}`);
  }
}
