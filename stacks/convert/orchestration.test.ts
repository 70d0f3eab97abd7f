/** What stack files say of when, where and how many: modes, schedules, placement, dependencies, updates, resources. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { toJson } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { type ServiceSpec, ServiceSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { stackFrom } from "../testing/stack-from.ts";

function textOf(lines: readonly string[]): string {
  return ["services:", "  x:", "    image: a", ...lines.map((line) => `    ${line}`)].join("\n");
}

/** The spec of the service `x`, as JSON. */
function specOf(...lines: readonly string[]): Readonly<Record<string, unknown>> {
  const spec = stackFrom({ text: textOf(lines) }).services.find(
    ({ annotations }) => annotations?.name === "shop_x",
  );
  assert.ok(spec !== undefined);
  return toJson(ServiceSpecSchema, spec) as Readonly<Record<string, unknown>>;
}

function taskOf(...lines: readonly string[]): Readonly<Record<string, unknown>> {
  return specOf(...lines)["task"] as Readonly<Record<string, unknown>>;
}

const modes: readonly (readonly [lines: readonly string[], key: string, mode: object])[] = [
  [[], "replicated", { replicas: "1" }],
  [["scale: 3"], "replicated", { replicas: "3" }],
  [["deploy: {replicas: 0}"], "replicated", {}],
  [["deploy: {mode: global}"], "global", {}],
  [["deploy: {mode: global-job}"], "globalJob", {}],
  [
    ["deploy: {mode: replicated-job, replicas: 4}"],
    "replicatedJob",
    { maxConcurrent: "4", totalCompletions: "4" },
  ],
  [
    ["deploy: {mode: replicated-job, replicas: 4, x-max-concurrent: 2}"],
    "replicatedJob",
    { maxConcurrent: "2", totalCompletions: "4" },
  ],
];
for (const [lines, key, mode] of modes) {
  test(`stack file, ${lines.join(" ") || "nothing"} is the mode ${key}`, () => {
    assert.deepEqual(specOf(...lines)[key], mode);
  });
}

test("stack file, only services without a number of replicas may be scaled by hand", () => {
  const text =
    "services: {a: {image: a}, b: {image: a, scale: 1}, c: {image: a, deploy: {replicas: 1}}}";
  assert.deepEqual([...stackFrom({ text }).unscaled], ["shop_a"]);
});

test("stack file, a job has a schedule, short or long, and starts again only when it fails", () => {
  const short = specOf("deploy: {mode: replicated-job, x-schedule: '@daily'}");
  assert.deepEqual(short["schedule"], { cron: "@daily" });
  assert.deepEqual(taskOf("deploy: {mode: global-job}")["restart"], {
    condition: "RESTART_CONDITION_ON_FAILURE",
  });
  const long = specOf(
    "deploy:",
    "  mode: global-job",
    "  x-schedule:",
    "    cron: '*/5 * * * *'",
    "    time_zone: Europe/Berlin",
    "    overlap: replace",
    "    keep_completed: 0",
    "    keep_failed: 7",
    "    suspended: true",
    "    starting_deadline: 90s",
  );
  assert.deepEqual(long["schedule"], {
    cron: "*/5 * * * *",
    timeZone: "Europe/Berlin",
    overlap: "RUN_OVERLAP_REPLACE",
    keepCompleted: 0,
    keepFailed: 7,
    suspended: true,
    startingDeadline: "90s",
  });
});

test("stack file, a service is autoscaled within bounds", () => {
  const { autoscale } = specOf(
    "deploy: {x-autoscale: {max: 9, cpu: 70%, memory: 80, scale_up_after: 5s, scale_down_after: 2m}}",
  );
  assert.deepEqual(autoscale, {
    minReplicas: "1",
    maxReplicas: "9",
    cpuPercent: 70,
    memoryPercent: 80,
    scaleUpAfter: "5s",
    scaleDownAfter: "120s",
  });
});

test("stack file, an update has canaries", () => {
  const { update } = specOf(
    "deploy: {update_config: {x-canary: 2, x-canary-promote-after: 5m, x-progress-deadline: 1m}}",
  );
  assert.deepEqual(update, {
    parallelism: "1",
    canary: "2",
    canaryPromoteAfter: "300s",
    progressDeadline: "60s",
  });
});

test("stack file, tasks are placed by constraints, preferences, platform, number and priority", () => {
  const task = taskOf(
    "platform: linux/arm64/v8",
    "deploy:",
    "  x-priority: -5",
    "  placement:",
    "    constraints: [node.role == worker, 'node.ip == 10.0.0.0/8']",
    "    preferences: [{spread: node.labels.zone}]",
    "    max_replicas_per_node: 2",
  );
  assert.equal(task["priority"], -5);
  assert.deepEqual(task["placement"], {
    constraints: ["node.role == worker", "node.ip == 10.0.0.0/8"],
    preferences: [{ spread: { spreadDescriptor: "node.labels.zone" } }],
    platforms: [{ os: "linux", architecture: "arm64" }],
    maxReplicas: "2",
  });
});

test("stack file, resources are those of deploy, of the Compose Specification, or of both where they agree", () => {
  const seen = taskOf(
    "cpus: 0.5",
    "mem_limit: 1g",
    "memswap_limit: 3g",
    "mem_swappiness: 10",
    "mem_reservation: 64m",
    "pids_limit: 9",
    "deploy:",
    "  resources:",
    "    limits: {cpus: '0.50', pids: 9}",
    "    reservations: {generic_resources: [{discrete_resource_spec: {kind: gpu, value: 2}}]}",
  );
  assert.deepEqual(seen["resources"], {
    limits: { nanoCpus: "500000000", memoryBytes: "1073741824" },
    reservations: {
      memoryBytes: "67108864",
      generic: [{ discrete: { kind: "gpu", value: "2" } }],
    },
    swapBytes: "2147483648",
    memorySwappiness: "10",
  });
  assert.deepEqual(taskOf()["resources"], undefined);
});

const restarts: readonly (readonly [text: string, policy: object])[] = [
  ['"no"', {}],
  ["always", { condition: "RESTART_CONDITION_ANY" }],
  ["unless-stopped", { condition: "RESTART_CONDITION_ANY" }],
  ["on-failure", { condition: "RESTART_CONDITION_ON_FAILURE" }],
  ["on-failure:3", { condition: "RESTART_CONDITION_ON_FAILURE", maxAttempts: "3" }],
];
for (const [text, policy] of restarts) {
  test(`stack file, restart: ${text} means what it says`, () => {
    assert.deepEqual(taskOf(`restart: ${text}`)["restart"], policy);
  });
}

test("stack file, depends_on makes dependencies, and services are made in their order", () => {
  const stack = stackFrom({
    text: [
      "services:",
      "  web: {image: a, depends_on: {db: {condition: service_healthy}, init: {condition: service_completed_successfully}, cache: {condition: service_started, required: false}}}",
      "  db: {image: a}",
      "  init: {image: a, depends_on: [db], deploy: {mode: replicated-job}}",
    ].join("\n"),
  });
  const names = (spec: ServiceSpec) => spec.annotations?.name;
  assert.deepEqual(stack.services.map(names), ["shop_db", "shop_init", "shop_web"]);
  const web = stack.services.find((spec) => names(spec) === "shop_web");
  assert.ok(web !== undefined);
  assert.deepEqual(toJson(ServiceSpecSchema, web), {
    ...Object(toJson(ServiceSpecSchema, web)),
    dependsOn: [
      { service: "shop_db", condition: "DEPENDENCY_CONDITION_HEALTHY" },
      { service: "shop_init", condition: "DEPENDENCY_CONDITION_COMPLETED" },
    ],
  });
});

test("stack file, a chain of dependencies may be as long as the file", () => {
  const last = 20_000;
  const chain = Array.from(
    { length: last },
    (_, at) => `  s${at}: {image: a, depends_on: [s${at + 1}]}\n`,
  );
  const { services } = stackFrom({ text: `services:\n${chain.join("")}  s${last}: {image: a}\n` });
  assert.equal(services.length, last + 1);
  assert.deepEqual(
    [services.at(0), services.at(-1)].map((spec) => spec?.annotations?.name),
    [`shop_s${last}`, "shop_s0"],
  );
});

test("stack file, network_mode is a network of each host", () => {
  assert.deepEqual(taskOf("network_mode: host")["networks"], [{ target: "host" }]);
});

test("stack file, clients stay with their tasks, and tasks leave DNS before they stop", () => {
  const spec = specOf("x-stop-delay: 3s", "deploy: {x-affinity: client-ip}");
  assert.deepEqual(spec["endpoint"], { affinity: "ENDPOINT_AFFINITY_CLIENT_IP" });
  assert.match(JSON.stringify(spec["task"]), /"stopDelay":"3s"/);
});

const refused: readonly (readonly [line: string, message: RegExp])[] = [
  [
    "scale: 2\n    deploy: {replicas: 3}",
    /4:5: services\.x\.scale says something else than deploy\.replicas/,
  ],
  ["deploy: {mode: global, replicas: 3}", /deploy\.replicas does not go with mode global/],
  ["deploy: {x-max-concurrent: 3}", /x-max-concurrent goes with mode replicated-job alone/],
  ["deploy: {x-schedule: '@daily'}", /4:14: services\.x\.deploy\.x-schedule goes with a job/],
  ["deploy: {mode: global-job, x-schedule: {cron: a, zone: b}}", /x-schedule\.zone is not known/],
  ["deploy: {x-autoscale: {min: 3, max: 2, cpu: 1}}", /x-autoscale\.max is 2, less than min/],
  ["deploy: {x-autoscale: {max: 2}}", /x-autoscale says by what to scale neither with cpu/],
  [
    "deploy: {x-autoscale: {max: 2, cpu: 0%}}",
    /x-autoscale\.cpu is refused: "0%" is not a percent/,
  ],
  [
    "deploy: {mode: global, x-autoscale: {max: 2, cpu: 1}}",
    /x-autoscale does not go with mode glo/,
  ],
  ["deploy: {placement: {preferences: [{}]}}", /preferences\.0 is refused: it has no spread/],
  ["platform: linux", /services\.x\.platform is refused: "linux" is not OS\/ARCHITECTURE/],
  [
    "cpus: 2\n    deploy: {resources: {limits: {cpus: 1}}}",
    /services\.x\.cpus says something else/,
  ],
  ["memswap_limit: 1g", /memswap_limit is refused: it goes with a limit of memory/],
  ["restart: sometimes", /services\.x\.restart is refused: "sometimes" is none of no, always/],
  ["depends_on: [y]", /services\.x\.depends_on\.y names the service "y", which the file does not/],
  ["depends_on: [constructor]", /depends_on\.constructor names the service "constructor", which/],
  ["depends_on: [x]", /closes a circle, in which nobody could start: x -> x/],
  ["network_mode: host\n    networks: [default]", /network_mode does not go with networks/],
  [
    "networks: [n, m]\nnetworks: {n: {name: one}, m: {name: one, external: true}}",
    /networks\.m is called "one", as networks\.n is: give it another name/,
  ],
  ["network_mode: macvlan", /network_mode is "macvlan": use host, bridge or none/],
  ["pull_policy: never", /pull_policy is "never": nodes pull what they do not have/],
  ["gpus: all", /4:5: services\.x\.gpus is not supported/],
  ["ports: [{target: 80, app_protocol: http}]", /ports\.0\.app_protocol is not supported/],
];
describe("a stack file", () => {
  for (const [line, message] of refused) {
    test(`is refused with ${line}`, () => {
      assert.throws(() => specOf(line), { name: "Fault", message });
    });
  }
});

test("stack file, whatever stands where orchestration is told, it is read or refused with a Fault", () => {
  const keys = [
    "depends_on",
    "platform",
    "restart",
    "scale",
    "cpus",
    "memswap_limit",
    "network_mode",
  ];
  const inDeploy = ["mode", "placement", "resources", "update_config", "x-schedule", "x-autoscale"];
  const values = fc.oneof(
    fc.json(),
    fc.constantFrom(
      "'@daily'",
      "{max: 3, cpu: 1%}",
      "[x]",
      "{x: {}}",
      "global-job",
      "-1",
      "1e9",
      "''",
    ),
  );
  const attempt = (text: string) => {
    try {
      stackFrom({ text });
    } catch (thrown) {
      assert.ok(thrown instanceof Fault, String(thrown));
    }
  };
  fc.assert(
    fc.property(
      fc.constantFrom(...keys),
      fc.constantFrom(...inDeploy),
      values,
      (key, inner, value) => {
        attempt(`services: {x: {image: a, ${key}: ${value}}}`);
        attempt(`services: {x: {image: a, deploy: {mode: global-job, ${inner}: ${value}}}}`);
        attempt(`services: {x: {image: a, deploy: {${inner}: ${value}}}}`);
      },
    ),
    { numRuns: 300 },
  );
});
