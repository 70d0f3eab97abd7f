import assert from "node:assert/strict";
import { test } from "node:test";
import {
  create,
  type DescMessage,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import {
  ClusterSchema,
  type Node,
  NodeSchema,
  type Service,
  ServiceSchema,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import type { ServiceSpecSchema, TaskSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  AnnotationsSchema,
  type AutoscaleSchema,
  DependencyCondition,
  type EndpointSpecSchema,
  IpFamily,
  type JobScheduleSchema,
  type PlacementSchema,
  type Network,
  NetworkSchema,
  NodeState,
  TaskState,
  type UpdateConfigSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { durationFromMs } from "#proto/time.ts";
import { startLeader } from "./leader.ts";
import {
  openTestStore,
  testCluster,
  testNetwork,
  testNode,
  testService,
} from "./testing/fixtures.ts";
import type { View } from "./store/store.ts";
import { stateOf } from "./task.ts";
import { newerOnes } from "./testing/newer.ts";
import { untilStore } from "./testing/until.ts";

const ports = { clock: systemClock, random: systemRandom, log: silentLog };
/** What `create` takes, without the finished message. */
type SpecInit<D extends DescMessage> = Exclude<MessageInitShape<D>, MessageShape<D>>;

const ms = durationFromMs;
const update: SpecInit<typeof UpdateConfigSchema> = {
  parallelism: 1n,
  delay: ms(1),
  monitor: ms(1),
  order: 1,
  failureAction: 1,
  canary: 1n,
  progressDeadline: ms(9),
};
const placement: SpecInit<typeof PlacementSchema> = {
  constraints: ["node.labels.a!=b"],
  preferences: [
    { preference: { case: "spread", value: { spreadDescriptor: "node.labels.zone" } } },
  ],
  platforms: [{ os: "linux", architecture: "x86_64" }],
  maxReplicas: 9n,
};

/** Services that use, together, nearly everything that the leader's parts read. */
function services(): readonly Service[] {
  const task: SpecInit<typeof TaskSpecSchema> = {
    runtime: {
      case: "container",
      value: {
        image: "busybox",
        labels: {},
        env: ["A=b"],
        stopGracePeriod: ms(1),
        mounts: [{ type: 1, source: "data", target: "/data" }],
        secrets: [{ secretId: "s", secretName: "s", file: { name: "s" } }],
        healthcheck: { test: ["CMD", "true"], interval: ms(1) },
      },
    },
    resources: {
      reservations: {
        nanoCpus: 1n,
        memoryBytes: 1n,
        generic: [{ resource: { case: "discrete", value: { kind: "gpu", value: 1n } } }],
      },
    },
    restart: { condition: 2, delay: ms(1), maxAttempts: 2n, window: ms(5) },
    networks: [{ target: "net", aliases: ["a"] }],
    logDriver: { name: "local" },
    priority: 1,
    placement,
  };
  const endpoint: SpecInit<typeof EndpointSpecSchema> = {
    mode: 0,
    ports: [{ protocol: 1, targetPort: 80, publishedPort: 8080, publishMode: 1 }],
  };
  const base = { annotations: { name: "" }, task, endpoint, update, rollback: update };
  const schedule: SpecInit<typeof JobScheduleSchema> = {
    cron: "0 4 * * *",
    timeZone: "Europe/Berlin",
    startingDeadline: ms(5),
    overlap: 1,
  };
  const autoscale: SpecInit<typeof AutoscaleSchema> = {
    minReplicas: 1n,
    maxReplicas: 3n,
    cpuPercent: 50,
    scaleDownAfter: ms(1),
  };
  const dependsOn = [{ service: "web", condition: DependencyCondition.HEALTHY }];
  const modes: readonly SpecInit<typeof ServiceSpecSchema>[] = [
    { ...base, mode: { case: "replicated", value: { replicas: 2n } }, autoscale },
    // With addresses its tasks come no further than the allocator.
    {
      ...base,
      task: { ...task, networks: [{ target: "net", addresses: ["10.0.0.9"] }] },
      mode: { case: "replicated", value: { replicas: 2n } },
    },
    { ...base, mode: { case: "global", value: {} }, dependsOn },
    {
      ...base,
      mode: { case: "replicatedJob", value: { maxConcurrent: 1n, totalCompletions: 2n } },
      schedule,
    },
    { ...base, mode: { case: "globalJob", value: {} } },
  ];
  return modes.map((spec) =>
    create(ServiceSchema, {
      id: "x",
      specVersion: { index: 1n },
      spec,
      previousSpec: spec,
      updateStatus: { state: 1, message: "" },
      jobStatus: { jobIteration: { index: 1n } },
      scheduleStatus: { runs: [{ iteration: { index: 1n }, state: 1 }] },
    }),
  );
}

/** Changed alone in each of its fields, as other objects of the kind. */
function variantsOf(service: Service): readonly Service[] {
  return newerOnes(ServiceSchema, service).map(({ object }, at) => {
    const spec = object.spec && {
      ...object.spec,
      annotations: create(AnnotationsSchema, { name: `newer${at}` }),
    };
    return { ...object, id: `service-newer${at}`, ...(spec && { spec }) };
  });
}

function isPlaced(view: View, name: string): boolean {
  const tasks = view.tasksOfService(`service-${name}`);
  return tasks.some((task) => stateOf(task) === TaskState.ASSIGNED);
}

for (const service of services()) {
  const mode = service.spec?.mode.case;
  const addresses = service.spec?.task?.networks[0]?.addresses ?? [];
  const given = addresses.length === 0 ? "" : " with addresses";
  test(`a leader goes on whatever words, enum values and oneofs of a newer version a service of mode ${mode}${given} has`, async () => {
    const { store, put } = openTestStore();
    await put("cluster", testCluster());
    await put("node", testNode(1), testNode(2));
    await put("network", testNetwork("net"));
    await put("service", ...variantsOf(service));
    await using leader = startLeader({ nodeId: "manager1" }, { ...ports, store });
    await put("service", testService({ name: "plain" }));
    await Promise.race([
      leader.failed,
      untilStore(store, (view) => isPlaced(view, "plain"), 30_000),
    ]);
    // Everything is looked at again when a node is another one.
    await put("node", testNode(1, { spec: { annotations: { labels: { zone: "a" } } } }));
    await put("service", testService({ name: "later" }));
    await Promise.race([
      leader.failed,
      untilStore(store, (view) => isPlaced(view, "later"), 30_000),
    ]);
  });
}

test("a leader goes on whatever words, enum values and oneofs of a newer version nodes, networks and the cluster have", async () => {
  const { store, put } = openTestStore();
  const cluster = testCluster({
    spec: {
      annotations: { name: "default" },
      dispatcher: { heartbeatPeriod: ms(1_000) },
      network: { defaultAddressPools: ["10.0.0.0/8"], subnetSize: 24 },
      scheduling: { strategy: 1, preemption: true, autoRebalance: true },
      taskDefaults: { logDriver: { name: "local" } },
    },
  });
  await put("cluster", cluster);
  await put(
    "node",
    ...newerOnes(NodeSchema, fullNode()).map(({ object }, at) => ({
      ...object,
      id: `node${at + 10}`,
      number: at + 10,
    })),
  );
  await put(
    "network",
    ...newerOnes(NetworkSchema, fullNetwork()).map(({ object }, at) => {
      const spec = object.spec && {
        ...object.spec,
        annotations: create(AnnotationsSchema, { name: `net${at}` }),
      };
      return { ...object, id: `network-${at}`, ...(spec && { spec }) };
    }),
  );
  await using leader = startLeader({ nodeId: "manager1" }, { ...ports, store });
  const placed = async (name: string) => {
    await put("service", testService({ name }));
    await Promise.race([leader.failed, untilStore(store, (view) => isPlaced(view, name), 30_000)]);
  };
  await put("node", testNode(1));
  await placed("plain");
  for (const [at, { object }] of newerOnes(ClusterSchema, cluster).entries()) {
    await put("cluster", { ...object, id: cluster.id });
    await placed(`later${at}`);
  }
});

test("a service says why a constraint of a newer version keeps its tasks waiting, and those that run stay", async () => {
  const { store, put } = openTestStore();
  await put("cluster", testCluster());
  await put("node", testNode(1));
  await using leader = startLeader({ nodeId: "manager1" }, { ...ports, store });
  await put("service", testService());
  const placed = untilStore(store, (view) => isPlaced(view, "web"));
  await Promise.race([leader.failed, placed]);
  const [runs] = store.tasksOfService("service-web");
  const constraints = { placement: { constraints: ["node.age>=1"] } };
  await put("service", testService({ version: 2, replicas: 2, task: constraints }));
  const waits = untilStore(store, (view) =>
    view
      .tasksOfService("service-web")
      .some(({ status }) => (status?.err ?? "").includes('the constraint "node.age>=1" has')),
  );
  await Promise.race([leader.failed, waits]);
  assert.equal(store.get("task", runs?.id ?? "")?.desiredState, TaskState.RUNNING);
});

function fullNode(): Node {
  return testNode(9, {
    spec: {
      annotations: { name: "n", labels: { a: "b" } },
      desiredRole: 1,
      membership: 1,
      availability: 1,
    },
    role: 1,
    status: { state: NodeState.READY, address: "192.0.2.9", message: "m" },
    managerStatus: { address: "192.0.2.9:2377", reachability: 1 },
    description: {
      hostname: "h9",
      addresses: ["192.0.2.9"],
      dataPathAddress: "192.0.2.9",
      engineAddress: "192.0.2.9:2378",
      encryptionKey: "k",
      platform: { os: "linux", architecture: "x86_64" },
      engine: { engineVersion: "9", labels: { a: "b" } },
      resources: {
        nanoCpus: 1n,
        memoryBytes: 1n,
        generic: [{ resource: { case: "discrete", value: { kind: "gpu", value: 1n } } }],
      },
    },
  });
}

function fullNetwork(): Network {
  return create(NetworkSchema, {
    id: "network-full",
    spec: {
      annotations: { name: "full" },
      driverConfig: { name: "overlay", options: { a: "b" } },
      ipam: {
        driver: { name: "default" },
        configs: [
          {
            family: IpFamily.IPV4,
            subnet: "10.9.0.0/24",
            range: "10.9.0.0/25",
            gateway: "10.9.0.1",
          },
        ],
      },
    },
  });
}
