import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape, toBinary, fromBinary } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import {
  ContainerSpecSchema,
  ServiceSpecSchema,
  TaskSpecSchema,
} from "#proto/gen/swarm/v1/specs_pb.ts";
import { MountType, UpdateConfigSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs } from "#proto/time.ts";
import { openTestStore, testNetwork } from "../testing/fixtures.ts";
import { replicasMax } from "./validate-mode.ts";
import { validateServiceSpec } from "./validate-service.ts";

type SpecInit = MessageInitShape<typeof ServiceSpecSchema>;
type TaskInit = MessageInitShape<typeof TaskSpecSchema>;
type ContainerInit = MessageInitShape<typeof ContainerSpecSchema>;

const { store, put } = openTestStore();
await put("network", testNetwork("front"), testNetwork("back"));

function spec(init: SpecInit = {}, task: TaskInit = {}, container: ContainerInit = {}) {
  return create(ServiceSpecSchema, {
    annotations: { name: "web" },
    mode: { case: "replicated", value: { replicas: 1n } },
    ...init,
    task: create(TaskSpecSchema, {
      runtime: {
        case: "container",
        value: create(ContainerSpecSchema, { image: "nginx", ...container }),
      },
      ...task,
    }),
  } as SpecInit);
}

const named = (name: string) => spec({ annotations: { name } });
const container = (init: ContainerInit) => spec({}, {}, init);
const task = (init: TaskInit) => spec({}, init);
const tmpfs = (target: string) => ({ type: MountType.TMPFS, target });

test("service spec, what the product does is accepted", () => {
  const given = spec(
    { mode: { case: "replicated", value: { replicas: replicasMax } }, endpoint: { mode: 1 } },
    {
      networks: [{ target: "front", aliases: ["www"] }, { target: "network-back" }],
      restart: { condition: 2, delay: durationFromMs(0), maxAttempts: 3n },
      resources: { limits: { nanoCpus: 500_000_000n, memoryBytes: 64n << 20n } },
    },
    {
      image: "registry:5000/nginx:1.27",
      env: ["A=1", "B=", "C=x=y"],
      mounts: [tmpfs("/a"), { type: MountType.BIND, source: "/srv", target: "/b", readOnly: true }],
      stopSignal: "SIGQUIT",
      stopGracePeriod: durationFromMs(1000),
      sysctls: { "net.core.somaxconn": "1024" },
    },
  );
  assert.deepEqual(validateServiceSpec(given, store), { ...given });
});

test("service spec, names as stacks make them are accepted", () => {
  for (const name of ["a", "hello_web", "a-1", "A9", "a".repeat(63)]) {
    validateServiceSpec(named(name), store);
  }
});

const refused = [
  [named(""), "annotations.name is empty: give a name"],
  [named("a".repeat(64)), /annotations\.name "a{63}…" has 64 characters: use at most 63/],
  [named("no spaces"), /annotations\.name "no spaces" is not a DNS label/],
  [named("-a"), /is not a DNS label/],
  [named("a."), /is not a DNS label/],
  [
    spec({ mode: { case: undefined } }),
    "mode is missing: use replicated, global, replicated-job or global-job",
  ],
  [
    spec({ mode: { case: "replicated", value: { replicas: replicasMax + 1n } } }),
    "replicated.replicas is 10001: use 0 to 10000",
  ],
  [
    spec(
      { mode: { case: "replicated", value: { replicas: replicasMax } } },
      {},
      { env: [`A=${"x".repeat(10_000)}`] },
    ),
    /^replicated\.replicas is 10000, each with a copy of a spec of 100\d\d bytes, over 67108864 bytes in all: use at most 66\d\d replicas or a smaller spec$/,
  ],
  [task({ runtime: { case: undefined } }), "task.container is missing"],
  [container({ image: "" }), /task\.container\.image is empty/],
  [container({ image: "No Image" }), /task\.container\.image: invalid image "No Image": /],
  [container({ env: ["A=1", "B"] }), 'task.container.env[1] "B" is not of the form NAME=value'],
  [container({ env: ["=1"] }), /env\[0\] "=1" is not of the form/],
  [container({ hostname: "a.b" }), /task\.container\.hostname "a\.b" is not a DNS label/],
  [container({ dir: "tmp" }), 'task.container.dir "tmp" is not an absolute path'],
  [container({ stopSignal: "HALT" }), 'task.container.stop_signal: unknown stop signal "HALT"'],
  [container({ stopGracePeriod: durationFromMs(-1) }), /stop_grace_period is -1 ms/],
  [container({ stopDelay: durationFromMs(-1) }), /stop_delay is -1 ms/],
  [container({ healthcheck: { test: ["CMD"] } }), /task\.container\.healthcheck\.test CMD needs/],
  [container({ args: ["a\0b"] }), /has a NUL character in argument 1/],
  [
    container({ mounts: [tmpfs("/a"), tmpfs("/a/")] }),
    'task.container.mounts[1].target "/a" is used twice',
  ],
  [
    container({ mounts: [tmpfs("a")] }),
    'task.container.mounts[0].target "a" is not an absolute path',
  ],
  [container({ mounts: [tmpfs("/")] }), /is the root of the container/],
  [container({ mounts: [{ type: MountType.BIND, source: "x", target: "/a" }] }), /source "x"/],
  [
    container({ mounts: [{ ...tmpfs("/a"), bindOptions: {} }] }),
    "task.container.mounts[0].bind_options is set for a tmpfs",
  ],
  [
    container({ mounts: [{ ...tmpfs("/a"), tmpfsOptions: { sizeBytes: -1n } }] }),
    "task.container.mounts[0].tmpfs_options.size_bytes is -1: use 0 or more",
  ],
  [
    container({ capabilityAdd: ["FLY"] }),
    'task.container.capability_add: unknown capability "FLY"',
  ],
  [
    container({ ulimits: [{ name: "nofile", soft: 2n, hard: 1n }] }),
    "task.container.ulimits: ulimit nofile: soft 2 is over hard 1",
  ],
  [container({ sysctls: { "vm.swappiness": "1" } }), /sysctls "vm\.swappiness" does not belong/],
  [container({ hosts: ["db 10.0.0.1"] }), /hosts\[0\] "db 10\.0\.0\.1" is not of the form/],
  [container({ dnsConfig: { nameservers: ["one"] } }), /nameservers\[0\] "one" is not an IP/],
  [container({ dnsConfig: { search: ["a b"] } }), /search\[0\] "a b" is empty or contains/],
  [container({ user: "a b" }), /user "a b" is empty or contains white space/],
  [container({ pidsLimit: -1n }), "task.container.pids_limit is -1: use 0 to 4194304"],
  [container({ oomScoreAdj: 1001n }), /oom_score_adj is 1001: use -1000 to 1000/],
  [task({ resources: { limits: { nanoCpus: 1n } } }), /limits\.nano_cpus is 1: use 10000000/],
  [task({ resources: { limits: { memoryBytes: 1n } } }), /limits\.memory_bytes is 1: use 6291456/],
  [task({ resources: { reservations: { nanoCpus: -1n } } }), /reservations\.nano_cpus is -1/],
  [task({ resources: { swapBytes: 1n } }), /swap_bytes is set without a limit of memory/],
  [task({ resources: { memorySwappiness: 101n } }), /memory_swappiness is 101: use 0 to 100/],
  [task({ restart: { delay: durationFromMs(-5) } }), /task\.restart\.delay is -5 ms/],
  [
    task({ networks: [{ target: "nowhere" }] }),
    'task.networks[0].target "nowhere" is not a network: create it first',
  ],
  [
    task({ networks: [{ target: "front" }, { target: "network-front" }] }),
    'task.networks[1].target "network-front" is the same network as an earlier one',
  ],
  [task({ networks: [{ target: "front", aliases: ["a b"] }] }), /aliases "a b" is not a DNS label/],
] as const;
for (const [given, message] of refused) {
  test(`service spec, refused: ${message instanceof RegExp ? message.source : message}`, () => {
    assert.throws(() => validateServiceSpec(given, store), { code: "invalid-argument", message });
  });
}

const unsupported = [
  [
    task({ networks: [{ target: "front", driverAttachmentOpts: { a: "b" } }] }),
    "task.networks[0].driver_attachment_opts",
  ],
] as const;
for (const [given, field] of unsupported) {
  test(`service spec, not supported yet: ${field}`, () => {
    assert.throws(() => validateServiceSpec(given, store), {
      code: "unimplemented",
      message: `${field} is not supported yet: leave it out`,
    });
  });
}

test("service spec, a log driver that there is not, or an option that it has not, is refused by name", () => {
  const options = { "max-size": "1m", "max-file": "2" };
  validateServiceSpec(task({ logDriver: { name: "json-file", options } }), store);
  const refused = (logDriver: object, message: RegExp) =>
    assert.throws(() => validateServiceSpec(task({ logDriver }), store), {
      code: "invalid-argument",
      message,
    });
  refused({ name: "gelf" }, /^task.log_driver: there is no log driver "gelf"/);
  refused({ name: "local", options: { gelf: "x" } }, /^task.log_driver: .* has no option "gelf"/);
});

test("service spec, a field of a newer contract is refused by its number", () => {
  // Field 99, length-delimited, empty.
  const bytes = Buffer.concat([
    toBinary(ServiceSpecSchema, spec()),
    Buffer.from([0x9a, 0x06, 0x00]),
  ]);
  assert.throws(() => validateServiceSpec(fromBinary(ServiceSpecSchema, bytes), store), {
    message: /the spec has the field number 99/,
  });
});

test("service spec, one too large is refused with its size", () => {
  const given = container({ env: [`A=${"x".repeat(600 * 1024)}`] });
  assert.throws(() => validateServiceSpec(given, store), { message: /spec has 6\d+ bytes/ });
});

test("service spec, any bytes that decode are accepted or refused with a Fault", () => {
  const bytes = fc.uint8Array({ maxLength: 200 });
  fc.assert(
    fc.property(bytes, (noise) => {
      let given: ReturnType<typeof spec>;
      try {
        given = fromBinary(ServiceSpecSchema, noise);
      } catch {
        return;
      }
      try {
        validateServiceSpec(given, store);
      } catch (thrown) {
        assert.ok(thrown instanceof Fault, String(thrown));
      }
    }),
    { numRuns: 1000 },
  );
});

test("service spec, settings of updates and rollbacks are taken, but for what has no meaning", () => {
  const { store } = openTestStore();
  const settings = create(UpdateConfigSchema, {
    parallelism: 2n,
    maxFailureRatio: 0.5,
    failureAction: 1,
    order: 1,
  });
  validateServiceSpec(spec({ update: settings, rollback: settings }), store);
  for (const [given, message] of [
    [
      { update: create(UpdateConfigSchema, { maxFailureRatio: 1.5 }) },
      "update.max_failure_ratio is 1.5: use 0 to 1",
    ],
    [
      { update: create(UpdateConfigSchema, { maxFailureRatio: Number.NaN }) },
      "update.max_failure_ratio is NaN: use 0 to 1",
    ],
    [
      { update: create(UpdateConfigSchema, { monitor: { seconds: -1n } }) },
      "update.monitor is -1000 ms: use 0 or more",
    ],
    [
      { update: create(UpdateConfigSchema, { order: 9 as never }) },
      "update.order is 9, which has no meaning",
    ],
    [
      { rollback: create(UpdateConfigSchema, { failureAction: 2 }) },
      "rollback.failure_action is rollback, which it is already: use pause or continue",
    ],
    [
      { update: create(UpdateConfigSchema, { canaryPromoteAfter: { seconds: 1n } }) },
      "update.canary_promote_after is set, but there are no canaries: set canary, too, or leave it out",
    ],
    [
      { rollback: create(UpdateConfigSchema, { canary: 1n }) },
      "rollback.canary is set: a rollback goes back to what is known, all at its pace",
    ],
  ] as const) {
    const refusal = { code: "invalid-argument", message };
    assert.throws(() => validateServiceSpec(spec(given), store), refusal);
  }
});
