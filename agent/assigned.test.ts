import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toJsonString } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import {
  AssignmentChange_Action as Action,
  type AssignmentsResponse,
  AssignmentsResponseSchema,
  type Assignment,
  AssignmentSchema,
  AssignmentsResponse_Type as Type,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { type Assigned, applyAssignments, nothingAssigned } from "./assigned.ts";

const kinds = [
  "task",
  "network",
  "endpoint",
  "peer",
  "logSubscription",
  "secret",
  "config",
] as const;

interface Change {
  readonly kind: (typeof kinds)[number];
  readonly id: string;
  readonly remove: boolean;
  /** What tells one version of an item from the other. */
  readonly mark: string;
}

const changes = fc.array(
  fc.record<Change>({
    kind: fc.constantFrom(...kinds),
    id: fc.constantFrom("a", "b", "c"),
    remove: fc.boolean(),
    mark: fc.string(),
  }),
  { maxLength: 12 },
);

const stream = fc.array(fc.record({ complete: fc.boolean(), changes }), { maxLength: 8 });

function assignmentOf({ kind, id, mark }: Change): Assignment["item"] {
  const { item } = create(AssignmentSchema, {
    item: {
      task: { case: "task" as const, value: { id, nodeId: mark } },
      network: { case: "network" as const, value: { id, spec: { annotations: { name: mark } } } },
      endpoint: { case: "endpoint" as const, value: { id, taskName: mark } },
      peer: { case: "peer" as const, value: { nodeId: id, dataPathAddress: mark } },
      logSubscription: { case: "logSubscription" as const, value: { id, taskIds: [mark] } },
      secret: { case: "secret" as const, value: { id, spec: { annotations: { name: mark } } } },
      config: { case: "config" as const, value: { id, spec: { annotations: { name: mark } } } },
    }[kind],
  });
  return item;
}

function messageOf(complete: boolean, list: readonly Change[], index: number): AssignmentsResponse {
  return create(AssignmentsResponseSchema, {
    type: complete ? Type.COMPLETE : Type.INCREMENTAL,
    appliesTo: complete || index === 0 ? "" : String(index - 1),
    resultsIn: String(index),
    changes: list.map((change) => ({
      action: change.remove ? Action.REMOVE : Action.UPDATE,
      assignment: { item: assignmentOf(change) },
    })),
  });
}

/** What is in a state, as text to compare: "kind/id" → the item. */
function contents(assigned: Assigned): Record<string, string> {
  const { tasks, networks, endpoints, peers, logSubscriptions, secrets, configs } = assigned;
  const all = {
    task: tasks,
    network: networks,
    endpoint: endpoints,
    peer: peers,
    logSubscription: logSubscriptions,
    secret: secrets,
    config: configs,
  };
  const entries = Object.entries(all).flatMap(([kind, items]) =>
    [...items].map(([id, item]) => {
      const message = create(AssignmentSchema, { item: { case: kind, value: item } as never });
      return [`${kind}/${id}`, toJsonString(AssignmentSchema, message)] as const;
    }),
  );
  return Object.fromEntries(entries);
}

test("assigned, is what folding the messages by hand gives", () => {
  const property = fc.property(stream, (messages) => {
    let assigned = nothingAssigned;
    let byHand: Record<string, string> = {};
    for (const [index, { complete, changes }] of messages.entries()) {
      // What is known is itself what the message may say again.
      assigned = applyAssignments(assigned, messageOf(complete, changes, index), assigned);
      if (complete) byHand = {};
      for (const change of changes) {
        const key = `${change.kind}/${change.id}`;
        const message = create(AssignmentSchema, { item: assignmentOf(change) });
        if (change.remove) delete byHand[key];
        else byHand[key] = toJsonString(AssignmentSchema, message);
      }
      assert.deepEqual(contents(assigned), byHand);
      assert.equal(assigned.sequence, String(index));
    }
  });
  fc.assert(property);
});

test("assigned, leaves the state that it started from as it was", () => {
  const property = fc.property(changes, changes, (first, second) => {
    const before = applyAssignments(nothingAssigned, messageOf(true, first, 0));
    const copy = contents(before);
    applyAssignments(before, messageOf(false, second, 1));
    applyAssignments(before, messageOf(true, second, 1));
    assert.deepEqual(contents(before), copy);
    assert.deepEqual(contents(nothingAssigned), {});
  });
  fc.assert(property);
});

test("assigned, a gap in the stream is refused, a complete message is not", () => {
  const first = applyAssignments(nothingAssigned, messageOf(true, [], 0));
  assert.throws(() => applyAssignments(first, messageOf(false, [], 2)), {
    code: "conflict",
    message: 'an assignment message was lost: it applies to "1", this node is at "0"',
  });
  assert.equal(applyAssignments(first, messageOf(true, [], 2)).sequence, "2");
});

test("assigned, a set in parts is what it is in one message, and counts with its last part", () => {
  const parts = fc.array(changes, { minLength: 1, maxLength: 5 });
  const property = fc.property(changes, parts, (earlier, lists) => {
    let assigned = applyAssignments(nothingAssigned, messageOf(true, earlier, 0));
    for (const [index, list] of lists.entries()) {
      const part = messageOf(true, list, index + 1);
      if (index > 0) part.appliesTo = String(index);
      part.more = index < lists.length - 1;
      assigned = applyAssignments(assigned, part);
      assert.equal(assigned.complete, !part.more);
    }
    const whole = applyAssignments(nothingAssigned, messageOf(true, lists.flat(), 0));
    assert.deepEqual(contents(assigned), contents(whole));
  });
  fc.assert(property);
});

test("assigned, between the parts of a set nothing else is taken, but a set may begin anew", () => {
  const first = { ...messageOf(true, [], 0), more: true };
  const begun = applyAssignments(nothingAssigned, first);
  assert.throws(() => applyAssignments(begun, messageOf(false, [], 1)), { code: "conflict" });
  assert.throws(() => applyAssignments(begun, { ...messageOf(true, [], 2), appliesTo: "1" }), {
    code: "conflict",
  });
  assert.equal(applyAssignments(begun, messageOf(true, [], 0)).complete, true);
  const whole = applyAssignments(nothingAssigned, messageOf(true, [], 0));
  assert.throws(() => applyAssignments(whole, { ...messageOf(true, [], 1), appliesTo: "0" }), {
    code: "conflict",
  });
});

test("assigned, changes of what this version does not know are passed over", () => {
  const message = create(AssignmentsResponseSchema, {
    type: Type.COMPLETE,
    changes: [{}, { assignment: {} }],
  });
  assert.deepEqual(contents(applyAssignments(nothingAssigned, message)), {});
});

test("assignments, what a new session says again are the same objects, and no others", () => {
  const change = (kind: Change["kind"], id: string, mark: string) => ({
    kind,
    id,
    mark,
    remove: false,
  });
  const first = [
    change("endpoint", "t/n", "old"),
    change("endpoint", "u/n", "old"),
    change("network", "n", "old"),
    change("peer", "p", "old"),
  ];
  const known = applyAssignments(nothingAssigned, messageOf(true, first, 0));
  const again = first.with(1, change("endpoint", "u/n", "new"));
  const after = applyAssignments(known, messageOf(true, again, 0), known);
  assert.equal(after.endpoints.get("t/n"), known.endpoints.get("t/n"));
  assert.equal(after.endpoints.get("u/n")?.taskName, "new");
  assert.equal(after.networks.get("n"), known.networks.get("n"));
  assert.equal(after.peers.get("p"), known.peers.get("p"));
  const less = applyAssignments(known, messageOf(true, first.slice(1), 0), known);
  assert.equal(less.endpoints.has("t/n"), false);
});
