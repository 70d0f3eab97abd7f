import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ServiceSpecSchema, TaskSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { GenericResourceSchema, ResourcesSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { checkGeneric, checkPlacement } from "./validate-placement.ts";

type TaskInit = Exclude<Parameters<typeof create<typeof TaskSpecSchema>>[1], undefined>;

const mode = {
  replicated: create(ServiceSpecSchema, { mode: { case: "replicated", value: {} } }).mode,
  global: create(ServiceSpecSchema, { mode: { case: "global", value: {} } }).mode,
};

function check(init: TaskInit): void {
  checkPlacement("task", create(TaskSpecSchema, init), mode.replicated);
}

const spread = (spreadDescriptor: string) => ({
  preference: { case: "spread" as const, value: { spreadDescriptor } },
});

test("Constraints, hierarchical preferences, platforms, a limit and a priority pass", () => {
  check({
    priority: -5,
    placement: {
      constraints: ["node.role==worker", "node.labels.zone != east"],
      preferences: [spread("node.labels.zone"), spread("engine.labels.rack"), spread("node.id")],
      platforms: [{ os: "linux", architecture: "amd64" }],
      maxReplicas: 2n,
    },
  });
});

const refused: readonly [string, TaskInit, RegExp][] = [
  [
    "an unknown key",
    { placement: { constraints: ["node.role==worker", "node.rol==worker"] } },
    /^task\.placement\.constraints\[1\]: .*did you mean "node\.role"\?$/,
  ],
  [
    "a preference over what there is not",
    { placement: { preferences: [spread("node.label.zone")] } },
    /^task\.placement\.preferences\[0\]\.spread: "node\.label\.zone" is nothing to spread over: did you mean "node\.labels\.zone"\?$/,
  ],
  [
    "a preference over addresses",
    { placement: { preferences: [spread("node.ip")] } },
    /"node\.ip" is nothing to spread over/,
  ],
  ["an empty preference", { placement: { preferences: [{}] } }, /preferences\[0\] is empty/],
  ["a priority beyond all", { priority: 1_000_000_001 }, /^task\.priority is 1000000001: use -/],
];
for (const [what, init, message] of refused) {
  test(`Of placement, ${what} is refused by its field`, () => {
    assert.throws(() => check(init), { code: "invalid-argument", message });
  });
}

test("A global service has no maximum per node", () => {
  const task = create(TaskSpecSchema, { placement: { maxReplicas: 1n } });
  const message = /^task\.placement\.max_replicas \(--replicas-max-per-node\) is set: a global/;
  assert.throws(() => checkPlacement("task", task, mode.global), { message });
});

test("Generic resources are asked for by count, each kind once", () => {
  const discrete = (kind: string, value: bigint) =>
    create(GenericResourceSchema, { resource: { case: "discrete", value: { kind, value } } });
  const named = create(GenericResourceSchema, {
    resource: { case: "named", value: { kind: "gpu", value: "UUID1" } },
  });
  const generic = (...list: (typeof named)[]) => {
    checkGeneric("reservations", create(ResourcesSchema, { generic: list }));
  };
  generic(discrete("gpu", 2n), discrete("ssd", 1n));
  const message = /^reservations\.generic\[0\] is "gpu=UUID1", a piece by name: ask for a count/;
  assert.throws(() => generic(named), { message });
  assert.throws(() => generic(discrete("gpu", 0n)), {
    message: /generic\[0\] \(gpu\) is 0: use 1/,
  });
  assert.throws(() => generic(discrete("gpu", 1n), discrete("gpu", 1n)), {
    message: /generic\[1\] names the kind "gpu" again/,
  });
  assert.throws(() => generic(discrete("g p", 1n)), { message: /the kind "g p" has other/ });
  assert.throws(() => generic(create(GenericResourceSchema)), { message: /\[0\] is empty/ });
});
