import assert from "node:assert/strict";
import { it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { WatchResponseSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import { StoreActionKind } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { aService, aServiceSpec, aTask } from "../testing/objects.ts";
import { noProgress, onWatch } from "./progress.ts";

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
