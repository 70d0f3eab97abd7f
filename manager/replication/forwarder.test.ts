import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { ProposeResponseSchema, type RaftService } from "#proto/gen/swarm/v1/manager_pb.ts";
import type { Client } from "#proto/grpc.ts";
import { systemClock } from "#proto/system-ports.ts";
import { until } from "#proto/testing/until.ts";
import type { Standing } from "../raft/contract.ts";
import { Forwarder } from "./forwarder.ts";
import { Proposals } from "./proposals.ts";

/** A follower whose leader answers as the test says; remembers the batches that it was brought. */
function follow(t: TestContext, answer: (call: number, signal: AbortSignal) => Promise<void>) {
  const brought: unknown[] = [];
  let standing: Standing = { role: "follower", term: 7, leader: 2 };
  const propose: Client<typeof RaftService>["propose"] = async (request, { signal } = {}) => {
    assert.ok(signal !== undefined);
    const { term, batch, entries } = request;
    brought.push({ term, batch, entries: entries?.length });
    await answer(brought.length, signal);
    return create(ProposeResponseSchema);
  };
  const client = { propose } as Partial<Client<typeof RaftService>> as Client<typeof RaftService>;
  const clock = systemClock;
  const proposals = new Proposals(
    { server: 1, nonce: 1 },
    { clock, trouble: () => "", onWaiting: () => forwarder.wake() },
  );
  const forwarder: Forwarder = new Forwarder({
    group: "group",
    proposals,
    clock,
    standing: () => standing,
    client: (server) => (server === 2 ? client : undefined),
  });
  t.after(async () => {
    proposals[Symbol.dispose]();
    await forwarder[Symbol.asyncDispose]();
  });
  const stand = (next: Partial<Standing>) => {
    standing = { ...standing, ...next };
    forwarder.stood();
    if (proposals.anyWaiting) forwarder.wake();
  };
  const write = () => void proposals.propose(Buffer.from("write")).catch(() => undefined);
  return { brought, proposals, stand, write };
}

/** As a call that the network has swallowed: it ends when it is called off. */
function swallowed(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(new Fault("canceled", "called off")));
  });
}

test("forwarder, a batch whose answer was lost goes again under its number", async (t) => {
  const { brought, write } = follow(t, async (call) => {
    if (call === 1) throw new Fault("unavailable", "the connection broke");
  });
  write();
  await until(() => brought.length === 2);
  assert.deepEqual(brought[1], brought[0]);
});

test("forwarder, a leader that was thought lost for a moment gets what it may have missed", async (t) => {
  const { brought, write, stand } = follow(t, async (call, signal) => {
    if (call === 1) await swallowed(signal);
  });
  write();
  await until(() => brought.length === 1);
  stand({ role: "candidate", leader: undefined });
  stand({ role: "follower", leader: 2 });
  await until(() => brought.length === 2);
  assert.deepEqual(brought[1], brought[0]);
});

test("forwarder, what one term's leader may have taken goes to the next one's only when it is known", async (t) => {
  const { brought, proposals, write, stand } = follow(t, async (call, signal) => {
    if (call === 1) await swallowed(signal);
  });
  write();
  await until(() => brought.length === 1);
  stand({ term: 8 });
  await systemClock.sleep(150);
  assert.equal(brought.length, 1);
  proposals.termBegan(8);
  await until(() => brought.length === 2);
  assert.deepEqual(brought[1], { term: 8n, batch: 2n, entries: 1 });
});

test("forwarder, what the leader refused waits and goes again", async (t) => {
  const { brought, write } = follow(t, async (call) => {
    if (call === 1) throw new Fault("resource-exhausted", "too many writes wait");
  });
  write();
  await until(() => brought.length === 2);
  assert.deepEqual(brought[1], { term: 7n, batch: 2n, entries: 1 });
});
