import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { ClusterSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { until } from "#proto/testing/until.ts";
import { FileLock } from "./file-lock.ts";
import type { KeyEncryption } from "./log/raft-storage.ts";
import { Store } from "./store/store.ts";
import { MemoryGroup, MemoryLog } from "./testing/memory-log.ts";

/** A manager that follows, and the cluster's key as another one sets it. */
class Fixture {
  readonly clock = new FakeClock();
  readonly #group = new MemoryGroup();
  readonly #leaderStore = new Store(this);
  readonly store = new Store(this);
  readonly replication: MemoryLog;
  readonly rekeyed: KeyEncryption[] = [];
  readonly told: string[] = [];

  constructor() {
    const seat = { group: this.#group, address: "127.0.0.1:2377" };
    const leader = new MemoryLog(this.#leaderStore, { ...seat, nodeId: "leader" });
    this.#leaderStore.attach(leader);
    this.replication = new MemoryLog(this.store, { ...seat, nodeId: "follower" });
    this.#group.lead(leader);
  }

  async set(unlockKey: string): Promise<void> {
    await this.#leaderStore.write((view) => {
      const cluster = view.get("cluster", "cluster");
      if (cluster !== undefined) {
        return [{ action: "update", kind: "cluster", object: { ...cluster, unlockKey } }];
      }
      const object = create(ClusterSchema, { id: "cluster", unlockKey });
      return [{ action: "create", kind: "cluster", object }];
    });
  }

  open(unlockKey: string, replication: { barrier(): Promise<void> } = this.replication): FileLock {
    return new FileLock(unlockKey, {
      clock: this.clock,
      store: this.store,
      replication,
      storage: { rekey: async (keyEncryption) => void this.rekeyed.push(keyEncryption) },
      tell: (message) => {
        if (message.kind === "unlock-key") this.told.push(message.unlockKey);
      },
    });
  }
}

test("file lock, the files get each key that the cluster gets, and the parent is told", async () => {
  const fixture = new Fixture();
  await fixture.set("");
  await using _lock = fixture.open("");
  await fixture.set("key");
  await until(() => fixture.told.length === 1);
  await fixture.set("");
  await until(() => fixture.told.length === 2);
  assert.deepEqual(fixture.told, ["key", ""]);
  assert.deepEqual(fixture.rekeyed, [{ kind: "unlock-key", key: "key" }, { kind: "file" }]);
});

test("file lock, an old state read at the start does not put an old key back", async () => {
  const fixture = new Fixture();
  await fixture.set("");
  await until(() => fixture.store.get("cluster", "cluster") !== undefined);
  const held = fixture.replication.hold();
  await fixture.set("newest");
  await using _lock = fixture.open("newest");
  for (let turns = 0; turns < 5; turns++) await turn();
  held[Symbol.dispose]();
  await fixture.set("next");
  await until(() => fixture.told.length > 0);
  assert.deepEqual(fixture.told, ["next"]);
  assert.deepEqual(fixture.rekeyed, [{ kind: "unlock-key", key: "next" }]);
});

test("file lock, where nobody can say what is newest it asks again, and ends when it is told to", async () => {
  const fixture = new Fixture();
  await fixture.set("key");
  let asked = 0;
  const barrier = async () => {
    asked += 1;
    throw new Fault("unavailable", "no manager leads now");
  };
  const lock = fixture.open("", { barrier });
  await until(() => asked === 1);
  await turn();
  fixture.clock.advance(1_000);
  await until(() => asked === 2);
  await lock[Symbol.asyncDispose]();
  assert.deepEqual(fixture.rekeyed, []);
});
