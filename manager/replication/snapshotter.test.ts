import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { silentLog } from "#proto/system-ports.ts";
import { until } from "#proto/testing/until.ts";
import type { RaftStorage } from "../log/raft-storage.ts";
import type { StateMachine } from "../store/log.ts";
import { Snapshotter } from "./snapshotter.ts";

const membership = { members: [], removed: [] };

/** A snapshotter of a state of `stateBytes`, the indices of the snapshots that it has written, and how many are kept. */
function prepare(stateBytes: number) {
  const written: number[] = [];
  const kept: number[] = [];
  const storage: Partial<RaftStorage> = {
    writeSnapshot: async ({ index }, pieces) => {
      for (const _ of pieces);
      written.push(index);
    },
    dropEntries: async () => {},
    keepSnapshots: async (count) => {
      kept.push(count);
    },
  };
  const machine: Partial<StateMachine> = { snapshot: () => [new Uint8Array(stateBytes)] };
  const snapshotter = new Snapshotter(
    0,
    { entriesMax: 10, bytesMax: 1_000 },
    {
      storage: storage as RaftStorage,
      machine: machine as StateMachine,
      log: silentLog,
      onDurable: (index) => index,
    },
  );
  return { snapshotter, written, kept };
}

const place = (index: number) => ({ index, term: 1, membership });

test("snapshotter, a snapshot is due after so many entries, or bytes of them", async () => {
  const { snapshotter, written } = prepare(0);
  snapshotter.consider(place(9), 900);
  assert.deepEqual(written, []);
  snapshotter.consider(place(10), 910);
  await until(() => written.length === 1);
  await turn();
  snapshotter.consider(place(11), 1_909);
  snapshotter.consider(place(12), 1_910);
  await until(() => written.length === 2);
  assert.deepEqual(written, [10, 12]);
});

test("snapshotter, of a large state at most half as much is written as changed since", async () => {
  const { snapshotter, written } = prepare(5_000);
  snapshotter.consider(place(10), 100);
  await until(() => written.length === 1);
  await turn();
  for (let index = 11; index < 200; index++) snapshotter.consider(place(index), index * 50);
  assert.deepEqual(written, [10]);
  snapshotter.consider(place(200), 10_100);
  await until(() => written.length === 2);
  assert.deepEqual(written, [10, 200]);
});

test("snapshotter, after so many entries as the cluster says, whatever the state's size", async () => {
  const { snapshotter, written, kept } = prepare(5_000);
  snapshotter.configure({ interval: 20, keepOld: 2 });
  for (let index = 1; index <= 60; index++) {
    snapshotter.consider(place(index), index * 2_000);
    await turn();
  }
  await until(() => written.length === 3);
  assert.deepEqual(written, [20, 40, 60]);
  snapshotter.configure({ interval: undefined, keepOld: 2 });
  snapshotter.configure({ interval: undefined, keepOld: 0 });
  assert.deepEqual(kept, [2, 0]);
  snapshotter.consider(place(80), 120_001);
  snapshotter.consider(place(81), 140_000);
  await until(() => written.length === 4);
});
