import assert from "node:assert/strict";
import { it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { WatchResponseSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import {
  StoreActionKind,
  StoreActionSchema,
  type StoreObject,
  StoreObjectSchema,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeAvailability, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { aNode, aService, aServiceSpec, aTask, idOf } from "../testing/objects.ts";
import { noProgress, onWatch, runningCount } from "./progress.ts";

it("takes in ten thousand tasks at once in no time, and leaves the earlier progress alone", () => {
  const web = aService(aServiceSpec("web", 10_000n));
  const events = Array.from({ length: 10_000 }, (_, index) => {
    const value = aTask(web, { slot: BigInt(index + 1), state: TaskState.RUNNING });
    return {
      action: {
        kind: StoreActionKind.CREATE,
        object: { object: { case: "task" as const, value: { ...value, id: `task${index}` } } },
      },
    };
  });
  const response = create(WatchResponseSchema, { events });
  const before = noProgress(web.id);
  const startMs = performance.now();
  assert.equal(onWatch(before, response).tasks.size, 10_000);
  assert.ok(performance.now() - startMs < 500);
  assert.equal(before.tasks.size, 0);
});

it("compares the specs of tasks once, not at each news of one of them", () => {
  const old = aService(aServiceSpec("web", 3n), 1n);
  const spec = aServiceSpec("web").task;
  let looks = 0;
  const tasks = Array.from({ length: 3 }, (_, index) => {
    const task = aTask(old, { slot: BigInt(index + 1), state: TaskState.RUNNING });
    const get = () => {
      looks += 1;
      return spec;
    };
    return Object.defineProperty({ ...task, id: `task${index}` }, "spec", { get });
  });
  const told = (...objects: StoreObject["object"][]) =>
    create(WatchResponseSchema, {
      events: objects.map((object) => ({
        action: create(StoreActionSchema, {
          kind: StoreActionKind.UPDATE,
          object: create(StoreObjectSchema, { object }),
        }),
      })),
    });
  const news = tasks.map((value) => ({ case: "task" as const, value }));
  const scaled = aService(aServiceSpec("web", 4n), 2n);
  let progress = onWatch(noProgress(old.id), told(...news, { case: "service", value: scaled }));
  assert.deepEqual([looks, runningCount(progress)], [3, 3]);
  progress = onWatch(progress, told(...news.slice(0, 1)));
  assert.deepEqual([looks, runningCount(progress)], [4, 3]);
  const other = aServiceSpec("web", 4n);
  if (other.task?.runtime.case === "container") other.task.runtime.value.image = "other";
  progress = onWatch(progress, told({ case: "service", value: aService(other, 3n) }));
  assert.deepEqual([looks, runningCount(progress)], [7, 0]);
});

it("counts what a paused node keeps of a global service, although it is not updated", () => {
  const old = aService(aServiceSpec("web"), 1n);
  const spec = aServiceSpec("web");
  if (spec.task?.runtime.case === "container") spec.task.runtime.value.image = "other";
  const web = aService(spec, 2n);
  const kept = { ...aTask(old, { slot: 0n, state: TaskState.RUNNING }), nodeId: idOf("host1") };
  const node = aNode("host1");
  const count = (availability: NodeAvailability) => {
    if (node.spec !== undefined) node.spec.availability = availability;
    const objects: StoreObject["object"][] = [
      { case: "service", value: web },
      { case: "task", value: kept },
      { case: "node", value: { ...node, id: kept.nodeId } },
    ];
    const events = objects.map((object) => ({
      action: create(StoreActionSchema, { object: create(StoreObjectSchema, { object }) }),
    }));
    return runningCount(onWatch(noProgress(web.id), create(WatchResponseSchema, { events })));
  };
  assert.equal(count(NodeAvailability.PAUSE), 1);
  assert.equal(count(NodeAvailability.ACTIVE), 0);
});
