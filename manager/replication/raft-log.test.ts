import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ServiceSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { systemClock } from "#proto/system-ports.ts";
import { until } from "#proto/testing/until.ts";
import { Store } from "../store/store.ts";
import { bytes, TestGroup, type TestMember } from "./testing/test-group.ts";

test("replication, one manager alone writes, and finds it again after a restart", async () => {
  await using group = await TestGroup.start({ managers: 1 });
  const only = group.member(0);
  const texts = Array.from({ length: 500 }, (_, index) => `text ${index}`);
  await Promise.all(texts.map((text) => only.log.propose(bytes(text))));
  assert.deepEqual(only.machine.texts, texts);
  await only.stop();
  await only.start();
  await only.log.barrier();
  assert.deepEqual(only.machine.texts, texts);
});

test("replication, what any manager writes is read behind a barrier on all", async () => {
  await using group = await TestGroup.start({ managers: 3 });
  for (const member of group.members) {
    await write(member, 50);
    for (const reader of group.members) {
      await reader.log.barrier();
      assert.equal(reader.machine.texts.length, 50 * (member.number + 1));
    }
  }
  assert.deepEqual(group.member(1).machine.texts, group.member(0).machine.texts);
  assert.deepEqual(group.member(2).machine.texts, group.member(0).machine.texts);
});

test("replication, a write says what applying it said, also through a follower", async () => {
  await using group = await TestGroup.start({ managers: 2 });
  const stores = group.members.map(({ log, machine }) => {
    const store = new Store({ clock: systemClock });
    machine.inner = store;
    store.attach(log);
    return store;
  });
  const spec = { annotations: { name: "web" } };
  const add = (store: Store | undefined, id: string) =>
    store?.write(() => [
      { action: "create", kind: "service", object: create(ServiceSchema, { id, spec }) },
    ]);
  for (const [number, store] of stores.entries()) {
    const id = `service${number}`;
    if (number === 0) await add(store, id);
    else await assert.rejects(add(store, id) ?? Promise.resolve(), { code: "already-exists" });
    assert.equal(store.get("service", "service0")?.spec?.annotations?.name, "web");
  }
  await Promise.all(group.members.map(({ log }) => log.barrier()));
  assert.deepEqual(stores[0]?.list("service"), stores[1]?.list("service"));
});

test("replication, nothing acknowledged is lost and nothing is written twice while leaders die", async () => {
  await using group = await TestGroup.start({ managers: 3 });
  const stop = new AbortController();
  const acknowledged: string[] = [];
  const failed = new Set<string>();
  let sequence = 0;
  const client = async (number: number) => {
    while (!stop.signal.aborted) {
      const member = group.running[number % group.running.length];
      sequence += 1;
      const text = `text ${sequence}`;
      try {
        await member?.log.propose(bytes(text));
        acknowledged.push(text);
      } catch {
        failed.add(text);
        await systemClock.sleep(10);
      }
    }
  };
  const clients = [0, 1, 2, 3, 4, 5].map(client);
  for (let round = 0; round < 4; round++) {
    const before = acknowledged.length;
    await until(() => acknowledged.length > before + 50, 20_000);
    const leader = await group.leader();
    await leader.kill();
    const between = acknowledged.length;
    await until(() => acknowledged.length > between + 50, 20_000);
    await leader.start();
  }
  stop.abort();
  await Promise.all(clients);
  for (const { log } of group.members) await log.barrier();
  const [first, ...others] = group.members.map(({ machine }) => machine.texts);
  for (const texts of others) assert.deepEqual(texts, first);
  const written = new Set(first);
  assert.equal(first?.length, written.size, "something was written twice");
  for (const text of acknowledged) assert.ok(written.has(text), `${text} is lost`);
  assert.ok(acknowledged.length > 400 && failed.size < acknowledged.length / 2);
});

test("replication, a leader that is cut off answers no reads and takes no writes", async () => {
  await using group = await TestGroup.start({ managers: 3 });
  const old = await group.leader();
  await old.log.propose(bytes("before"));
  group.network.setAll(old.number, "hole");
  const others = group.members.filter((member) => member !== old);
  // In doubt until it hears of a later term.
  const doubtful = old.log.propose(bytes("cut off"));
  const leader = await group.leader(() => others);
  await leader.log.propose(bytes("after"));
  const seen: string[][] = [];
  const read = old.log.barrier().then(() => seen.push([...old.machine.texts]));
  await until(() => !old.log.leading);
  await systemClock.sleep(200);
  assert.equal(seen.length, 0);
  group.network.setAll(old.number, "open");
  await read;
  assert.deepEqual(seen[0]?.slice(0, 2), ["before", "after"]);
  // Dropped with the old term, and written in the new one.
  await doubtful;
  assert.deepEqual(old.machine.texts, ["before", "after", "cut off"]);
});

test("replication, a read whose question the old leader never answered is asked again of the next", async () => {
  await using group = await TestGroup.start({ managers: 3 });
  const old = await group.leader();
  const followers = await group.followers();
  group.network.setAll(old.number, "hole");
  const reads = followers.map((member) => member.log.barrier());
  await Promise.all([...reads, group.leader(() => followers)]);
});

test("replication, a follower that was away too long gets a snapshot in chunks", async () => {
  const core = { trailingEntries: 10, trailingBytes: 10_000 };
  await using group = await TestGroup.start({ managers: 3, log: { snapshotEntries: 200, core } });
  const [follower] = await group.followers();
  assert.ok(follower !== undefined);
  await write(await group.leader(), 10);
  await follower.kill();
  const large = "x".repeat(20_000);
  const leader = await group.leader();
  for (let round = 0; round < 5; round++) await write(leader, 100, large);
  await follower.start();
  await until(() => follower.machine.texts.length === 510, 20_000);
  assert.deepEqual(follower.machine.texts, leader.machine.texts);
  assert.ok(follower.machine.restores > 0);
  await follower.log.propose(bytes("mine"));
  assert.equal(follower.machine.texts.at(-1), "mine");
});

test("replication, all managers find after a restart what they had, from snapshots and entries", async () => {
  const core = { trailingEntries: 10 };
  await using group = await TestGroup.start({ managers: 3, log: { snapshotEntries: 100, core } });
  const restored = new Set<TestMember>();
  // A snapshot that is under way when its manager stops is given up: not every start has a new one.
  for (let round = 1; round <= 10 && restored.size < 3; round++) {
    for (const member of group.members) await write(member, 75);
    const { texts } = (await group.leader()).machine;
    assert.equal(texts.length, round * 3 * 75);
    await Promise.all(group.members.map((member) => member.stop()));
    await Promise.all(group.members.map((member) => member.start()));
    for (const member of group.members) {
      await member.log.barrier();
      assert.deepEqual(member.machine.texts, texts);
      if (member.machine.restores > 0) restored.add(member);
    }
  }
  assert.equal(restored.size, 3);
});

test("replication, leadership is handed over under load and nothing is lost", async () => {
  await using group = await TestGroup.start({ managers: 3 });
  const stop = new AbortController();
  const acknowledged: string[] = [];
  const client = async (member: TestMember) => {
    for (let count = 0; !stop.signal.aborted; count++) {
      const text = `${member.number} ${count}`;
      await member.log.propose(bytes(text));
      acknowledged.push(text);
    }
  };
  const clients = group.members.map(client);
  for (let round = 0; round < 5; round++) {
    const before = acknowledged.length;
    await until(() => acknowledged.length > before + 20);
    const leader = await group.leader();
    await leader.log.handOver();
    assert.equal(leader.log.leading, false);
    assert.notEqual(await group.leader(), leader);
  }
  stop.abort();
  await Promise.all(clients);
  for (const { log, machine } of group.members) {
    await log.barrier();
    assert.deepEqual(machine.texts.toSorted(), acknowledged.toSorted());
  }
});

test("replication, a leader that is stopped leaves another one behind", async () => {
  await using group = await TestGroup.start({ managers: 3 });
  const leader = await group.leader();
  await write(leader, 10);
  await leader.stop();
  const stoppedMs = systemClock.monotonic();
  await write(await group.leader(), 10);
  assert.ok(systemClock.monotonic() - stoppedMs < 200, "nobody led when it had stopped");
});

test("replication, without a majority writes and reads say so with the numbers", async () => {
  await using group = await TestGroup.start({ managers: 3 });
  const [one, two] = await group.followers();
  await two?.kill();
  await (await group.leader()).kill();
  const words =
    /does not have a leader: 1 of 3 managers can be reached.*majority is 2.*force-new-cluster/;
  assert.ok(one !== undefined);
  await Promise.all([
    assert.rejects(one.log.barrier(), { code: "unavailable", message: words }),
    assert.rejects(one.log.propose(bytes("never")), { code: "unavailable", message: words }),
  ]);
});

/** So many texts at once, all acknowledged. */
async function write(member: TestMember, count: number, tail = ""): Promise<void> {
  const texts = Array.from({ length: count }, (_, index) => `${member.number} ${index}${tail}`);
  await Promise.all(texts.map((text) => member.log.propose(bytes(text))));
}
