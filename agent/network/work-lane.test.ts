import assert from "node:assert/strict";
import { test } from "node:test";
import { WorkLane, type WorkLaneOptions } from "./work-lane.ts";

function lane(log: string[], more: Partial<WorkLaneOptions<string>> = {}): WorkLane<string> {
  return new WorkLane({
    converge: async () => {
      log.push("converge");
    },
    depart: async (taskIds) => {
      log.push(`depart ${taskIds.join(" ")}`);
    },
    arrive: async (arrivals) => {
      log.push(`arrive ${arrivals.join(" ")}`);
      return arrivals.map(() => ({ status: "fulfilled", value: undefined }));
    },
    departuresBatchMax: 2,
    arrivalsBatchMax: 2,
    ...more,
  });
}

test("WorkLane performs the state once, then departures, then arrivals, in batches", async () => {
  const log: string[] = [];
  const work = lane(log);
  const all = [
    work.arrive("a"),
    work.depart("x"),
    work.arrive("b"),
    work.converge(),
    work.depart("y"),
    work.depart("z"),
    work.arrive("c"),
    work.converge(),
  ];
  await Promise.all(all);
  await work.idle();
  assert.deepEqual(log, ["converge", "depart x y", "depart z", "arrive a b", "arrive c"]);
});

test("WorkLane tells each caller of its own failure and goes on", async () => {
  const log: string[] = [];
  const work = lane(log, {
    converge: () => Promise.reject(new Error("no")),
    arrive: async (arrivals) =>
      arrivals.map((arrival) =>
        arrival === "bad"
          ? { status: "rejected", reason: new Error("bad") }
          : { status: "fulfilled", value: undefined },
      ),
  });
  const results = await Promise.allSettled([
    work.converge(),
    work.arrive("bad"),
    work.arrive("good"),
    work.depart("x"),
  ]);
  assert.deepEqual(
    results.map(({ status }) => status),
    ["rejected", "rejected", "fulfilled", "fulfilled"],
  );
});

test("WorkLane, a look holds up no work, and is worth nothing where work was done meanwhile", async () => {
  const log: string[] = [];
  const work = lane(log);
  assert.equal(await work.look(async () => "seen"), "seen");
  const gate = Promise.withResolvers<string>();
  const over = work.look(() => gate.promise);
  await work.converge();
  gate.resolve("seen");
  assert.equal(await over, undefined);
  const held = work.look(async () => {
    void work.converge();
    return "seen";
  });
  assert.equal(await held, undefined);
  await work.idle();
  assert.deepEqual(log, ["converge", "converge"]);
});
