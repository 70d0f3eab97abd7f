import assert from "node:assert/strict";
import { test } from "node:test";
import { Fault } from "#proto/fault.ts";
import { NodeState } from "#proto/gen/swarm/v1/types_pb.ts";
import { openTestStore, testNode } from "../testing/fixtures.ts";
import { planRegistrations, type Registration } from "./registrations.ts";
import { Session } from "./sessions.ts";

function registrationOf(session: Session): Registration {
  return { session, managerId: "manager1", description: undefined, address: "192.0.2.1" };
}

test("registrations, the last of a node counts; one that holds already writes nothing", async () => {
  const { store, put } = openTestStore();
  await put("node", testNode(1, { status: { state: NodeState.DOWN } }));
  const session = new Session("newer", "node1", 0);
  const older = registrationOf(new Session("older", "node1", 0));
  const [action, ...more] = planRegistrations(store, [older, registrationOf(session)]);
  assert.ok(action?.kind === "node" && more.length === 0);
  const { sessionId, sessionManagerId, status } = action.object;
  assert.deepEqual([sessionId, sessionManagerId], ["newer", "manager1"]);
  assert.equal(status?.state, NodeState.READY);
  await store.write(() => [action]);
  assert.deepEqual(planRegistrations(store, [registrationOf(session)]), []);
});

test("registrations, a session that is over is not written, nor one that another has followed", async () => {
  const { store, put } = openTestStore();
  await put("node", testNode(1, { sessionId: "elsewhere" }));
  const givenUp = new Session("mine", "node1", 0);
  givenUp.end(new Fault("canceled", "the agent went away"));
  assert.deepEqual(planRegistrations(store, [registrationOf(givenUp)]), []);
  const followed = new Session("mine", "node1", 0);
  followed.onNewest("mine");
  assert.deepEqual(planRegistrations(store, [registrationOf(followed)]), []);
  const opening = new Session("mine", "node1", 0);
  assert.equal(planRegistrations(store, [registrationOf(opening)]).length, 1);
});
