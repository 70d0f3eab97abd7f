import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import type { ServiceSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  RestartPolicySchema,
  TaskState,
  UpdateConfigSchema,
  UpdateOrder,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs } from "#proto/time.ts";
import { withSpec } from "../service-spec.ts";
import { isWanted } from "../task.ts";
import { openTestStore, testNode, testService, testTaskSpec } from "../testing/fixtures.ts";
import { replacedTasks } from "./plan-replaced.ts";
import { UpdateGround } from "./testing/update-ground.ts";

function task(image: string, node: string) {
  return testTaskSpec({
    runtime: { case: "container", value: { image } },
    restart: create(RestartPolicySchema, { condition: 2, delay: durationFromMs(1000) }),
    placement: { constraints: node === "" ? [] : [`node.hostname==${node}`] },
  });
}

test("replaced tasks, foretold they are those that the change then costs", async () => {
  const change = fc.record({
    replicas: fc.integer({ min: 0, max: 6 }),
    image: fc.constantFrom("old", "new"),
    node: fc.constantFrom("", "h1", "h2"),
    label: fc.boolean(),
  });
  const settings = fc.record({
    replicas: fc.integer({ min: 1, max: 6 }),
    startFirst: fc.boolean(),
    news: fc.array(fc.nat(100), { maxLength: 12 }),
    change,
  });
  const property = fc.asyncProperty(settings, async ({ replicas, startFirst, news, change }) => {
    const made = testService({ replicas });
    assert.ok(made.spec);
    made.spec.task = task("old", "");
    const order = UpdateOrder[startFirst ? "START_FIRST" : "STOP_FIRST"];
    made.spec.update = create(UpdateConfigSchema, { parallelism: 2n, order });
    const ground = new UpdateGround(made);
    ground.nodes = [testNode(1), testNode(2)];
    for (const choice of news) {
      ground.plan();
      ground.someNews(choice);
    }
    ground.plan();
    const spec: ServiceSpec = {
      ...made.spec,
      task: task(change.image, change.node),
      mode: {
        case: "replicated",
        value: { $typeName: "swarm.v1.ReplicatedService", replicas: BigInt(change.replicas) },
      },
    };
    if (change.label) spec.annotations = { ...spec.annotations, labels: { a: "b" } } as never;
    const next = withSpec(ground.service, spec);
    const { store, put } = openTestStore();
    await put("node", ...ground.nodes);
    await put("task", ...ground.tasks());
    const foretold = replacedTasks(next, store).map(({ id }) => id);

    const before = ground.wanted().map(({ id }) => id);
    ground.service = next;
    ground.pass(300_000);
    const left = new Set(
      ground
        .tasks()
        .filter((one) => isWanted(one) && one.desiredState < TaskState.REMOVE)
        .map(({ id }) => id),
    );
    assert.deepEqual(
      foretold.toSorted(byText),
      before.filter((id) => !left.has(id)).toSorted(byText),
    );
  });
  await fc.assert(property, { numRuns: 100 });
});

function byText(a: string, b: string): number {
  return a < b ? -1 : 1;
}
