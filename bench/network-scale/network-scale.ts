/**
 * What managers send to nodes of a large network, and what that costs: a real store, assignment index and one assignment
 * stream per node, in one process. Messages are encoded as for the wire, and nothing else stands in for agents: no gRPC, no
 * sockets. Every service has a virtual address on the one network that all tasks are on, so each node must know everything.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { AssignmentIndex } from "#manager/dispatcher/assignment-index.ts";
import { streamAssignments } from "#manager/dispatcher/assignment-stream.ts";
import {
  openTestStore,
  testNetwork,
  testNode,
  testService,
  testTask,
  type TestStore,
} from "#manager/testing/fixtures.ts";
import { noLogs } from "#manager/testing/test-manager.ts";
import {
  AssignmentChangeSchema,
  type AssignmentsResponse,
  AssignmentsResponseSchema,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Service, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { EndpointSchema, NodeState, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { newId } from "#proto/ids.ts";
import { systemClock, systemRandom } from "#proto/system-ports.ts";

const tasksPerNode = 10;
const tasksPerService = 100;
/** A commit of the log holds so many at most. */
const objectsPerCommit = 1_000;
/** gRPC's frame around a message. */
const frameBytes = 5;
/** Of a change in its message: the field and its length. */
const tagBytes = 3;

export interface Cost {
  readonly messages: number;
  readonly bytes: number;
  readonly cpuMs: number;
  /** From the first commit until the last node has its last message. */
  readonly wallMs: number;
}

export interface NetworkScale {
  readonly nodes: number;
  readonly tasks: number;
  /** Of all nodes, one after the other. */
  readonly joining: Cost;
  readonly bytesPerEndpoint: number;
  readonly taskMoves: Cost;
  readonly nodeGoesDown: Cost;
  readonly nodeJoins: Cost;
  readonly rssMb: number;
}

export interface NetworkScaleOptions {
  readonly nodes: number;
  readonly signal: AbortSignal;
}

export async function benchNetworkScale(options: NetworkScaleOptions): Promise<NetworkScale> {
  await using ground = await ScaleGround.open(options);
  const { nodes } = options;
  const joining = await ground.measure(async () => {
    for (let number = 1; number <= nodes; number++) await ground.join(number);
  });
  const taskMoves = await ground.measure(() => ground.moveTask());
  const nodeGoesDown = await ground.measure(() => ground.loseNode(nodes));
  const nodeJoins = await ground.measure(() => ground.addNode(nodes + 1));
  return {
    nodes,
    tasks: nodes * tasksPerNode,
    joining,
    bytesPerEndpoint: ground.bytesPerEndpoint(),
    taskMoves,
    nodeGoesDown,
    nodeJoins,
    rssMb: process.memoryUsage().rss / 1e6,
  };
}

class ScaleGround implements AsyncDisposable {
  readonly #test: TestStore;
  readonly #index: AssignmentIndex;
  readonly #stop = new AbortController();
  readonly #agents: ScaleAgent[] = [];
  readonly #tasks: readonly Task[];
  readonly #nodeIds: string[];

  static async open({ nodes, signal }: NetworkScaleOptions): Promise<ScaleGround> {
    const test = openTestStore();
    const network = testNetwork("backend", "10.0.0.0/16");
    const nodeIds = Array.from({ length: nodes }, () => newId(systemRandom));
    await test.put("network", network);
    const all = nodeIds.map((id, at) => nodeOf(id, at + 1));
    const services = Array.from(
      { length: Math.ceil((nodes * tasksPerNode) / tasksPerService) },
      (_, at) => serviceOf(at, network.id),
    );
    const tasks = Array.from({ length: nodes * tasksPerNode }, (_, at) => {
      const service = services[Math.floor(at / tasksPerService)];
      const attachment = { network, addresses: [`10.0.${at >> 8}.${at & 255}/16`] };
      return taskOf(at, { service, nodeId: nodeIds[at % nodes] ?? "", networks: [attachment] });
    });
    for (const part of parts(all)) await test.put("node", ...part);
    for (const part of parts(services)) await test.put("service", ...part);
    for (const part of parts(tasks)) {
      await test.put("task", ...part);
      signal.throwIfAborted();
    }
    return new ScaleGround(test, { nodeIds, tasks });
  }

  /** For `open`. */
  constructor(test: TestStore, made: { nodeIds: string[]; tasks: readonly Task[] }) {
    this.#test = test;
    this.#nodeIds = made.nodeIds;
    this.#tasks = made.tasks;
    this.#index = new AssignmentIndex(test.store);
    test.store.watch(({ changes }) => {
      for (const change of changes) this.#index.onChange(change);
    });
  }

  async measure(work: () => Promise<void>): Promise<Cost> {
    const before = this.#sum();
    const cpuBefore = process.cpuUsage();
    const startedAtMs = performance.now();
    await work();
    const wallMs = performance.now() - startedAtMs;
    const { user, system } = process.cpuUsage(cpuBefore);
    const after = this.#sum();
    return {
      messages: after.messages - before.messages,
      bytes: after.bytes - before.bytes,
      cpuMs: (user + system) / 1_000,
      wallMs,
    };
  }

  /** The node opens its stream and gets its whole set. */
  async join(number: number): Promise<void> {
    const nodeId = this.#nodeIds[number - 1] ?? "";
    const modules = { index: this.#index, clock: systemClock, logSubscriptions: noLogs };
    const agent = new ScaleAgent(
      streamAssignments(nodeId, modules, this.#stop.signal),
      number === 1,
    );
    this.#agents.push(agent);
    await agent.complete;
  }

  async addNode(number: number): Promise<void> {
    const id = newId(systemRandom);
    this.#nodeIds.push(id);
    await this.#everybodyHears(() => this.#test.put("node", nodeOf(id, number)));
    await this.join(number);
  }

  /** To the node beside it, as a rolling update does: the new one is assigned and runs, the old one stops serving and goes. */
  async moveTask(): Promise<void> {
    const [old] = this.#tasks;
    if (old === undefined) return;
    const id = newId(systemRandom);
    const fresh = {
      ...old,
      id,
      nodeId: this.#nodeIds[1] ?? "",
      status: inState(TaskState.ASSIGNED),
    };
    const running = { ...fresh, status: inState(TaskState.RUNNING) };
    const leaving = { ...old, desiredState: TaskState.SHUTDOWN };
    const gone = { ...leaving, status: inState(TaskState.SHUTDOWN) };
    for (const task of [fresh, running, leaving, gone]) {
      await this.#everybodyHears(() => this.#test.put("task", task));
    }
  }

  async loseNode(number: number): Promise<void> {
    const node = nodeOf(this.#nodeIds[number - 1] ?? "", number);
    const status = testNode(number, { status: { state: NodeState.DOWN } }).status;
    await this.#everybodyHears(() => this.#test.put("node", { ...node, status }));
  }

  bytesPerEndpoint(): number {
    const [agent] = this.#agents;
    return agent === undefined ? 0 : agent.endpointBytes / agent.endpoints;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#agents.map((agent) => agent.ended));
  }

  async #everybodyHears(change: () => Promise<void>): Promise<void> {
    const heard = this.#agents.map((agent) => agent.next());
    await change();
    await Promise.all(heard);
  }

  #sum(): { messages: number; bytes: number } {
    let messages = 0;
    let bytes = 0;
    for (const agent of this.#agents) {
      messages += agent.messages;
      bytes += agent.bytes;
    }
    return { messages, bytes };
  }
}

/** The far end of a node's stream: counts what it gets and keeps none of it. */
class ScaleAgent {
  messages = 0;
  bytes = 0;
  endpoints = 0;
  endpointBytes = 0;
  readonly complete: Promise<void>;
  readonly ended: Promise<void>;
  readonly #counts: boolean;
  #onMessage: (() => void) | undefined;

  constructor(stream: AsyncIterable<AssignmentsResponse>, counts: boolean) {
    this.#counts = counts;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.complete = promise;
    this.ended = this.#run(stream, resolve).catch(() => undefined);
  }

  next(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onMessage = resolve;
    return promise;
  }

  async #run(stream: AsyncIterable<AssignmentsResponse>, onComplete: () => void): Promise<void> {
    for await (const message of stream) {
      const bytes = toBinary(AssignmentsResponseSchema, message);
      this.messages += 1;
      this.bytes += bytes.length + frameBytes;
      this.#countEndpoints(bytes);
      if (!message.more) onComplete();
      this.#onMessage?.();
    }
  }

  #countEndpoints(bytes: Uint8Array): void {
    if (!this.#counts) return;
    const { changes } = fromBinary(AssignmentsResponseSchema, bytes);
    for (const change of changes) {
      if (change.assignment?.item.case !== "endpoint") continue;
      this.endpoints += 1;
      this.endpointBytes += toBinary(AssignmentChangeSchema, change).length + tagBytes;
    }
  }
}

function nodeOf(id: string, number: number) {
  const address = `192.0.${number >> 8}.${number & 255}`;
  const made = testNode(number, { id, status: { state: NodeState.READY, address } });
  if (made.description !== undefined) {
    made.description.dataPathAddress = address;
    made.description.addresses = [address, `2001:db8::${number.toString(16)}`];
  }
  return made;
}

function serviceOf(at: number, networkId: string): Service {
  const made = testService({
    name: `service${at}`,
    task: { networks: [{ target: networkId }] },
  });
  const virtualIps = [{ networkId, address: `10.0.255.${at & 255}/16` }];
  return {
    ...made,
    id: newId(systemRandom),
    endpoint: create(EndpointSchema, { spec: {}, virtualIps }),
  };
}

function taskOf(
  at: number,
  {
    service,
    nodeId,
    networks,
  }: Pick<Task, "nodeId"> & {
    service: Service | undefined;
    networks: NonNullable<NonNullable<Parameters<typeof testTask>[1]>["networks"]>;
  },
): Task {
  const id = newId(systemRandom);
  const name = service?.spec?.annotations?.name ?? "";
  const slot = BigInt((at % tasksPerService) + 1);
  return testTask(id, {
    serviceId: service?.id ?? "",
    nodeId,
    slot,
    annotations: { name: `${name}.${slot}.${id}` },
    serviceAnnotations: { name },
    networks,
    status: { state: TaskState.RUNNING },
  });
}

function inState(state: TaskState) {
  return testTask("", { status: { state } }).status;
}

function* parts<T>(all: readonly T[]): Iterable<readonly T[]> {
  for (let at = 0; at < all.length; at += objectsPerCommit) {
    yield all.slice(at, at + objectsPerCommit);
  }
}
