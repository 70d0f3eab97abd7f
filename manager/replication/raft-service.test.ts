import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  JoinRaftRequestSchema,
  ListMembersRequestSchema,
  ProposeRequestSchema,
  ReadIndexRequestSchema,
} from "#proto/gen/swarm/v1/manager_pb.ts";
import type { CallContext } from "#proto/grpc.ts";
import { raftHandlers } from "./raft-service.ts";

test("raft service, a manager that joins answers managers alone", async () => {
  const handlers = raftHandlers(() => undefined);
  const { signal } = new AbortController();
  const call = { signal, metadata: new Map(), peer: "192.0.2.9:1" };
  const stranger: CallContext = { ...call, caller: { kind: "anonymous", problem: "none shown" } };
  const calls = (context: CallContext) => [
    handlers.sendMessages((async function* () {})(), context),
    handlers.propose(create(ProposeRequestSchema), context),
    handlers.readIndex(create(ReadIndexRequestSchema), context),
    handlers.listMembers(create(ListMembersRequestSchema), context),
    handlers.joinRaft(create(JoinRaftRequestSchema), context),
  ];
  for (const answer of calls(stranger)) {
    await assert.rejects(answer, { code: "permission-denied" });
  }
  const node = { kind: "node", role: "manager", nodeId: "a", clusterId: "c" } as const;
  const answers = await Promise.allSettled(calls({ ...call, caller: node }));
  assert.deepEqual(
    answers.map((answer) => (answer.status === "rejected" ? answer.reason.code : answer.value)),
    ["unavailable", "unavailable", "unavailable", { members: [] }, "unavailable"],
  );
});
