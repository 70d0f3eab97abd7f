/** Objects as tests need them, with everything that does not matter filled in. */
import {
  create,
  type DescMessage,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import {
  type Cluster,
  ClusterSchema,
  type Node,
  NodeSchema,
  type Service,
  ServiceSchema,
  type Task,
  TaskSchema,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import { type TaskSpec, TaskSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { type Network, NetworkSchema, NodeState, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { systemClock } from "#proto/system-ports.ts";
import type { Clock } from "#proto/ports.ts";
import { timestampFromMs } from "#proto/time.ts";
import type { Kind, Objects } from "../store/objects.ts";
import { Store } from "../store/store.ts";
import { MemoryLog, type Seat } from "./memory-log.ts";

/** What `create` takes, without the finished message. */
type Init<D extends DescMessage> = Exclude<MessageInitShape<D>, MessageShape<D>>;

export interface TestStore {
  readonly store: Store;
  readonly log: MemoryLog;
  /** Creates objects, or replaces those that are there. */
  readonly put: <K extends Kind>(kind: K, ...objects: readonly Objects[K][]) => Promise<void>;
  readonly remove: <K extends Kind>(kind: K, ...objects: readonly Objects[K][]) => Promise<void>;
}

/** A manager's store alone, or with a seat among others. */
export function openTestStore(clock: Clock = systemClock, seat?: Seat): TestStore {
  const store = new Store({ clock });
  const log = new MemoryLog(store, seat);
  store.attach(log);
  return {
    store,
    log,
    async put(kind, ...objects) {
      await store.write((view) =>
        objects.map((object) => {
          const known = view.get(kind, object.id);
          const action = known === undefined ? "create" : "update";
          // The kind and the object agree by this function's own type.
          return { action, kind, object: { ...object, meta: known?.meta } } as never;
        }),
      );
    },
    async remove(kind, ...objects) {
      await store.write((view) =>
        objects.flatMap(({ id }) => {
          const object = view.get(kind, id);
          return object === undefined ? [] : [{ action: "remove", kind, object } as never];
        }),
      );
    },
  };
}

export function testCluster(init: Init<typeof ClusterSchema> = {}): Cluster {
  return create(ClusterSchema, {
    id: "cluster",
    spec: { annotations: { name: "default" } },
    ...init,
  });
}

export function testNode(number: number, init: Init<typeof NodeSchema> = {}): Node {
  return create(NodeSchema, {
    id: `node${number}`,
    number,
    spec: {},
    status: { state: NodeState.READY, address: `192.0.2.${number}` },
    description: {
      hostname: `h${number}`,
      platform: { os: "linux", architecture: "x86_64" },
      resources: { nanoCpus: 4_000_000_000n, memoryBytes: 8_000_000_000n },
      dataPathAddress: `192.0.2.${number}`,
    },
    ...init,
  });
}

export interface TestServiceOptions {
  readonly name?: string;
  readonly replicas?: number;
  readonly version?: number;
  readonly task?: Init<typeof TaskSpecSchema>;
}

export function testService(options: TestServiceOptions = {}): Service {
  const { name = "web", replicas = 1, version = 1, task = {} } = options;
  return create(ServiceSchema, {
    id: `service-${name}`,
    specVersion: { index: BigInt(version) },
    spec: {
      annotations: { name },
      task: testTaskSpec(task),
      mode: { case: "replicated", value: { replicas: BigInt(replicas) } },
    },
  });
}

export function testTaskSpec(init: Init<typeof TaskSpecSchema> = {}): TaskSpec {
  return create(TaskSpecSchema, {
    runtime: { case: "container", value: { image: "busybox" } },
    ...init,
  });
}

/** A task of `testService`. `atMs` is when it was made, last changed, and when its status was reported. */
export function testTask(
  id: string,
  init: Init<typeof TaskSchema> & { readonly atMs?: number } = {},
): Task {
  const { atMs = 0, ...rest } = init;
  const at = timestampFromMs(atMs);
  const task = create(TaskSchema, {
    id,
    serviceId: "service-web",
    slot: 1n,
    specVersion: { index: 1n },
    spec: testTaskSpec(),
    desiredState: TaskState.RUNNING,
    status: { state: TaskState.NEW, timestamp: at },
    meta: { version: { index: 1n }, createdAt: at, updatedAt: at },
    ...rest,
  });
  if (task.status !== undefined) task.status.timestamp ??= at;
  return task;
}

export function testNetwork(name: string, subnet?: string): Network {
  return create(NetworkSchema, {
    id: `network-${name}`,
    spec: {
      annotations: { name },
      ...(subnet === undefined ? {} : { ipam: { configs: [{ subnet }] } }),
    },
  });
}
