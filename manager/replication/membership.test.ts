import assert from "node:assert/strict";
import { test } from "node:test";
import { RaftService } from "#proto/gen/swarm/v1/manager_pb.ts";
import { Reachability } from "#proto/gen/swarm/v1/types_pb.ts";
import { silentLog, systemClock } from "#proto/system-ports.ts";
import { joinGroup } from "./join.ts";
import { bytes, TestGroup, type TestMember } from "./testing/test-group.ts";

test("membership, a new manager learns the log, then votes, and all know it", async () => {
  await using group = await TestGroup.start({ managers: 4 }, 3);
  await (await group.leader()).log.propose(bytes("before"));
  const joined = group.member(3);
  await joined.join();
  await group.voters(4);
  await joined.log.barrier();
  assert.deepEqual(joined.machine.texts, ["before"]);
  const members = await joined.log.members();
  assert.equal(members.filter(({ leader }) => leader).length, 1);
  for (const { reachability } of members) assert.equal(reachability, Reachability.REACHABLE);
  const addresses = new Set(members.map(({ member }) => member?.address));
  assert.deepEqual(addresses, new Set(group.members.map(({ address }) => address)));
});

test("membership, whoever asks a follower to join is sent on to the leader", async () => {
  await using group = await TestGroup.start({ managers: 3 }, 2);
  const [follower] = await group.followers();
  const joiner = group.member(2);
  assert.ok(follower !== undefined);
  await joiner.serve();
  const { id } = await ask(joiner, [follower.address]);
  // The answer was lost on the way, and is given again.
  assert.equal((await ask(joiner, [follower.address])).id, id);
});

test("membership, an address that is not reached or another's is refused with the reason", async () => {
  await using group = await TestGroup.start({ managers: 3 }, 1);
  const [joiner, stranger] = [group.member(1), group.member(2)];
  const [first] = group.members;
  assert.ok(first !== undefined);
  await joiner.serve();
  const wrong = "127.0.0.1:1";
  await assert.rejects(ask(joiner, [first.address], wrong), {
    code: "failed-precondition",
    message: /127\.0\.0\.1:1 from .*advertise an address/,
  });
  await assert.rejects(ask(joiner, [first.address], first.address), {
    code: "already-exists",
    message: /is that of manager node0/,
  });
  // Somebody answers, but not who asks: as where every host has the address.
  await stranger.serve();
  await assert.rejects(ask(joiner, [first.address], stranger.address), {
    code: "failed-precondition",
    message: /another node answers there, node2/,
  });
  assert.equal((await first.log.members()).length, 1);
});

test("membership, a second manager cannot join in the name of one that runs", async () => {
  await using group = await TestGroup.start({ managers: 3 });
  const leader = await group.leader();
  const [follower] = await group.followers();
  assert.ok(follower !== undefined);
  using connection = follower.connect(leader.address);
  const join = connection.service(RaftService).joinRaft({ address: "127.0.0.1:1" });
  await assert.rejects(join, { message: /is a manager already and answers at/ });
  assert.equal((await leader.log.members()).length, 3);
});

test("membership, a manager that lost its disk comes back under a new ID", async () => {
  await using group = await TestGroup.start({ managers: 3 });
  const [lost] = await group.followers();
  assert.ok(lost !== undefined);
  const before = lost.log.serverId;
  await lost.kill();
  lost.forget();
  await lost.join();
  await group.voters(3);
  assert.notEqual(lost.log.serverId, before);
  await lost.log.propose(bytes("back"));
  for (const { log, machine } of group.members) {
    await log.barrier();
    assert.deepEqual(machine.texts, ["back"]);
  }
});

test("membership, a manager that moved is known by its new address", async () => {
  await using group = await TestGroup.start({ managers: 3 });
  const [moved] = await group.followers();
  assert.ok(moved !== undefined);
  const before = moved.address;
  await moved.stop();
  moved.address = "127.0.0.1:0";
  await moved.start();
  assert.notEqual(moved.address, before);
  await moved.log.propose(bytes("from there"));
  const leader = await group.leader();
  await untilAsync(async () =>
    (await leader.log.members()).some(({ member }) => member?.address === moved.address),
  );
});

test("membership, a removed manager learns of it, and so does one that was away", async () => {
  await using group = await TestGroup.start({ managers: 5 });
  const leader = await group.leader();
  const [here, away] = await group.followers();
  assert.ok(here !== undefined && away !== undefined);
  await leader.log.remove(here.nodeId, { force: false });
  await here.log.removed;
  await away.kill();
  await leader.log.remove(away.nodeId, { force: false });
  await leader.log.remove(away.nodeId, { force: false });
  assert.equal((await leader.log.members()).length, 3);
  await away.start();
  await away.log.removed;
  await leader.log.propose(bytes("without them"));
  assert.deepEqual(away.machine.texts, []);
});

test("membership, a removal that would lose the majority is refused with the numbers", async () => {
  await using group = await TestGroup.start({ managers: 3 });
  const leader = await group.leader();
  const [one, two] = await group.followers();
  assert.ok(one !== undefined && two !== undefined);
  await two.kill();
  await untilAsync(async () =>
    (await leader.log.members()).some((m) => m.reachability === Reachability.UNREACHABLE),
  );
  await assert.rejects(leader.log.remove(one.nodeId, { force: false }), {
    code: "failed-precondition",
    message: /leaves 1 of 2 managers reachable: a majority of 2 voters needs 2/,
  });
  await leader.log.remove(two.nodeId, { force: false });
  await assert.rejects(one.log.remove(leader.nodeId, { force: false }), {
    message: /ask the leader at/,
  });
  await leader.log.remove(one.nodeId, { force: false });
  await assert.rejects(leader.log.remove(leader.nodeId, { force: false }), {
    code: "failed-precondition",
    message: /is the last manager/,
  });
});

test("membership, a leader that is to be removed hands over, and the next one removes it", async () => {
  await using group = await TestGroup.start({ managers: 3 });
  const leader = await group.leader();
  await assert.rejects(leader.log.remove(leader.nodeId, { force: false }), { code: "unavailable" });
  const next = await group.leader();
  assert.notEqual(next, leader);
  await next.log.remove(leader.nodeId, { force: false });
  await leader.log.removed;
});

test("membership, nothing of another life of the cluster is taken", async () => {
  await using group = await TestGroup.start({ managers: 2 });
  const [one, two] = group.members;
  assert.ok(one !== undefined && two !== undefined);
  using connection = one.connect(two.address);
  const client = connection.service(RaftService);
  const fault = { code: "failed-precondition", message: /another life of the cluster/ };
  await assert.rejects(client.readIndex({ group: "older" }), fault);
  await assert.rejects(client.propose({ group: "older", term: 1n, entries: [] }), fault);
  const messages = client.sendMessages(once({ group: "older", messages: [] }));
  await assert.rejects(messages, fault);
});

test("membership, nobody speaks for the server of another node", async () => {
  await using group = await TestGroup.start({ managers: 3 });
  const [one, two, three] = group.members;
  assert.ok(one !== undefined && two !== undefined && three !== undefined);
  using connection = one.connect(two.address);
  const from = BigInt(three.log.serverId);
  const to = BigInt(two.log.serverId);
  const message = { from, to, term: 1_000n, body: { case: "timeoutNow", value: {} } } as const;
  const request = { group: "group", messages: [message] };
  await assert.rejects(connection.service(RaftService).sendMessages(once(request)), {
    code: "permission-denied",
  });
  assert.ok((await group.leader()).log.leading);
});

async function* once<T>(item: T): AsyncGenerator<T> {
  yield item;
}

function ask(joiner: TestMember, managers: readonly string[], address = joiner.address) {
  const connect = (to: string) => joiner.connect(to);
  return joinGroup({ managers, address }, { connect, clock: systemClock, log: silentLog });
}

async function untilAsync(condition: () => Promise<boolean>): Promise<void> {
  const endMs = systemClock.monotonic() + 15_000;
  while (!(await condition())) {
    assert.ok(systemClock.monotonic() < endMs, `waited in vain for ${String(condition)}`);
    await systemClock.sleep(20);
  }
}
