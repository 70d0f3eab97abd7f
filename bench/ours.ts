/** Our cluster as a side of a benchmark, spoken to over the control API of its manager. */
import { existsSync, readdirSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import { formCluster } from "#lab/cluster.ts";
import type { Host } from "#lab/host.ts";
import { waitFor } from "#lab/wait.ts";
import { nodeMetadata } from "#proto/engine-services.ts";
import { Fault } from "#proto/fault.ts";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import { ImageService } from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type ServiceSpec, ServiceSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  EndpointMode,
  NodeState,
  RestartCondition,
  TaskState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { Client, Connection } from "#proto/grpc.ts";
import { durationFromMs } from "#proto/time.ts";
import {
  type RunningTask,
  type Side,
  type StartWatch,
  stopGraceMs,
  type Workload,
} from "./side.ts";

const readyTimeoutMs = 60_000;

export class OurCluster implements Side {
  readonly name = "ours";
  readonly hosts: readonly Host[];
  readonly #connection: Connection;
  readonly #control: Client<typeof ControlService>;
  #hostNames: ReadonlyMap<string, string> = new Map();

  /** Makes the hosts a cluster: the first is its manager, the others are workers. */
  static async up(
    hosts: readonly Host[],
    signal: AbortSignal,
    swarmdArgs: readonly string[] = [],
  ): Promise<OurCluster> {
    const [manager] = hosts;
    if (manager === undefined) throw new Fault("invalid-argument", "there is no host");
    await formCluster(hosts, { signal, swarmdArgs });
    const cluster = new OurCluster(manager, hosts);
    await cluster.#allReady(signal);
    return cluster;
  }

  /** For `up`. */
  constructor(manager: Host, hosts: readonly Host[]) {
    this.hosts = hosts;
    this.#connection = manager.connect("manager");
    this.#control = this.#connection.service(ControlService);
  }

  async createNetwork(name: string, signal: AbortSignal): Promise<void> {
    await this.#control.createNetwork({ spec: { annotations: { name } } }, { signal });
  }

  async createService(workload: Workload, signal: AbortSignal): Promise<void> {
    await this.#control.createService({ spec: serviceSpec(workload) }, { signal });
  }

  async removeService(name: string, signal: AbortSignal): Promise<void> {
    await this.#control.removeService({ ref: name }, { signal });
  }

  async countRunning(service: string, signal: AbortSignal): Promise<number> {
    const { services, statuses } = await this.#control.listServices({}, { signal });
    const at = services.findIndex(({ spec }) => spec?.annotations?.name === service);
    return Number(statuses[at]?.runningTasks ?? 0n);
  }

  async listRunning(service: string, signal: AbortSignal): Promise<readonly RunningTask[]> {
    const request = { serviceRef: service, runningOnly: true };
    const { tasks } = await this.#control.listTasks(request, { signal });
    return tasks
      .filter(isRunning)
      .map((task) => ({ id: task.id, host: this.#hostNames.get(task.nodeId) ?? "" }));
  }

  async isIdle(signal: AbortSignal): Promise<boolean> {
    const { tasks } = await this.#control.listTasks({}, { signal });
    return tasks.length === 0 && !this.hosts.some(hasNetworkNamespace);
  }

  async watchStart(signal: AbortSignal): Promise<StartWatch> {
    const watching = new AbortController();
    const either = AbortSignal.any([signal, watching.signal]);
    const starts = this.#starts(either)[Symbol.asyncIterator]();
    await starts.next();
    const started = starts.next().then(({ done }) => {
      if (done === true) throw new Fault("unavailable", "the manager ended the watch");
    });
    started.catch(() => {}); // told to who waits for it; a watch may be given up before
    return { started, [Symbol.dispose]: () => watching.abort() };
  }

  async pullImage(host: Host, image: string, signal: AbortSignal): Promise<void> {
    using connection = this.#engineOf(host);
    const images = connection.service(ImageService);
    for await (const _ of images.pullImage({ reference: image }, { signal }));
  }

  async removeImage(host: Host, image: string, signal: AbortSignal): Promise<void> {
    using connection = this.#engineOf(host);
    await connection.service(ImageService).removeImage({ ref: image, force: true }, { signal });
  }

  async expendableHost(): Promise<Host> {
    const spare = this.hosts.slice(1).at(-1);
    if (spare === undefined) throw new Fault("failed-precondition", "there is no host to spare");
    return spare;
  }

  async revive(host: Host, signal: AbortSignal): Promise<void> {
    await host.start(signal);
    await this.#allReady(signal);
  }

  /** To the host's engine, through the manager. */
  #engineOf(host: Host): Connection {
    const [manager = host] = this.hosts;
    const [nodeId = ""] = [...this.#hostNames].find(([, name]) => name === host.name) ?? [];
    return manager.connect("manager", { metadata: { [nodeMetadata]: nodeId } });
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }

  /** Yields once when the present state is known, then for every attempt of a task that begins to run. */
  async *#starts(signal: AbortSignal): AsyncIterable<void> {
    const seen = new Set<string>();
    let present = false;
    for await (const response of this.#control.watch({ kinds: ["task"] }, { signal })) {
      for (const { action } of response.events) {
        const object = action?.object?.object;
        if (object?.case !== "task" || !isRunning(object.value)) continue;
        const attempt = `${object.value.id} ${object.value.status?.attempt}`;
        if (seen.has(attempt)) continue;
        seen.add(attempt);
        if (present) yield;
      }
      // The last message of the present state is the first to carry a version.
      if (!present && response.version !== undefined) {
        present = true;
        yield;
      }
    }
  }

  async #allReady(signal: AbortSignal): Promise<void> {
    const ready = async () => {
      const { nodes } = await this.#control.listNodes({}, { signal });
      this.#hostNames = new Map(nodes.map((node) => [node.id, node.description?.hostname ?? ""]));
      const up = nodes.filter((node) => node.status?.state === NodeState.READY);
      return up.length === this.hosts.length;
    };
    await waitFor("all nodes to be ready", ready, { timeoutMs: readyTimeoutMs, signal });
  }
}

function serviceSpec(workload: Workload): ServiceSpec {
  const { name, image, args, network } = workload;
  const stopGracePeriod = durationFromMs(stopGraceMs);
  return create(ServiceSpecSchema, {
    annotations: { name },
    task: {
      runtime: { case: "container", value: { image, args: [...args], stopGracePeriod } },
      restart: { condition: RestartCondition.ANY, delay: durationFromMs(0) },
      networks: network === undefined ? [] : [{ target: network }],
    },
    mode: { case: "replicated", value: { replicas: BigInt(workload.replicas) } },
    endpoint: { mode: EndpointMode.DNSRR },
  });
}

/** Every task has one, from before its container starts until after it ended. */
function hasNetworkNamespace(host: Host): boolean {
  const folder = host.box.path("/run/netns");
  return existsSync(folder) && readdirSync(folder).length > 0;
}

function isRunning(task: Task): boolean {
  return task.status?.state === TaskState.RUNNING;
}
