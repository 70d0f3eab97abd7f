import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  SecretSchema,
  type Service,
  ServiceSchema,
  TaskSchema,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import { ServiceSpecSchema, TaskSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { TaskState, UpdateState } from "#proto/gen/swarm/v1/types_pb.ts";
import { isFileUsed, leftovers } from "./plan-prune.ts";
import { namespaceLabel } from "./stack.ts";
import { stackFrom } from "./testing/stack-from.ts";

const secret = create(SecretSchema, { id: "s1" });
const task = create(TaskSpecSchema, {
  runtime: { case: "container", value: { secrets: [{ secretId: "s1" }] } },
});
const spec = create(ServiceSpecSchema, { task });
const other = create(ServiceSpecSchema);

const services: readonly (readonly [what: string, service: Service, used: boolean])[] = [
  ["refers to it", create(ServiceSchema, { spec }), true],
  ["had it before an update that is over", updated(UpdateState.COMPLETED), false],
  ["had it before an update that goes on", updated(UpdateState.UPDATING), true],
  ["had it before an update that waits with canaries", updated(UpdateState.CANARY), true],
  ["had it before an update that was paused", updated(UpdateState.PAUSED), true],
  ["has another one", create(ServiceSchema, { spec: other }), false],
];
for (const [what, service, used] of services) {
  test(`prune, a file is ${used ? "in" : "of no"} use to a service that ${what}`, () => {
    assert.equal(isFileUsed(secret, [service], []), used);
  });
}

function updated(state: UpdateState): Service {
  return create(ServiceSchema, { spec: other, previousSpec: spec, updateStatus: { state } });
}

for (const [word, state, used] of [
  ["is new", TaskState.NEW, true],
  ["runs", TaskState.RUNNING, true],
  ["is complete", TaskState.COMPLETE, false],
  ["was stopped", TaskState.SHUTDOWN, false],
] as const) {
  test(`prune, a file is ${used ? "in" : "of no"} use to a task that ${word}`, () => {
    const one = create(TaskSchema, { spec: task, status: { state } });
    assert.equal(isFileUsed(secret, [], [one]), used);
  });
}

test("prune, what others have, and older versions of files, are no leftovers", () => {
  const stack = stackFrom({ text: "services: {web: {image: a}}\nsecrets: {kept: {content: x}}" });
  const named = (name: string, owner: string, rotatedFrom = "") =>
    create(SecretSchema, {
      spec: { annotations: { name, labels: { [namespaceLabel]: owner } } },
      rotatedFrom,
    });
  const secrets = [
    named("shop_kept", "shop"),
    named("shop_kept.7", "shop", "shop_kept"),
    named("shop_gone", "shop"),
    named("shop_others", "shop2"),
  ];
  const gone = leftovers(stack, { services: [], networks: [], configs: [], secrets });
  assert.deepEqual(
    gone.secrets.map((one) => one.spec?.annotations?.name),
    ["shop_gone"],
  );
});
