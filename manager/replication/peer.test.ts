import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { type RaftService, SendMessagesResponseSchema } from "#proto/gen/swarm/v1/manager_pb.ts";
import type { Client, Connection } from "#proto/grpc.ts";
import { systemClock } from "#proto/system-ports.ts";
import { until } from "#proto/testing/until.ts";
import { Peer } from "./peer.ts";

const modules = {
  group: "group",
  ownAddress: "127.0.0.1:2",
  readChunk: async () => undefined,
  clock: systemClock,
  onDisconnected: () => undefined,
  onSnapshotGone: () => undefined,
  onEnded: () => undefined,
};

test("peer, a certificate that is no manager's any more ends the call, not the process", async () => {
  const ended: Fault[] = [];
  const options = { id: 2, address: "127.0.0.1:1" };
  await using _peer = new Peer(options, {
    ...modules,
    connect: () => {
      throw new Fault("failed-precondition", "this node's certificate is not a manager's");
    },
    onEnded: (fault) => ended.push(fault),
  });
  await until(() => ended.length === 2);
  assert.match(ended[0]?.message ?? "", /not a manager's/);
});

test("peer, what is said to a server that was just heard of again goes with the next call", async () => {
  const brought: string[] = [];
  const sendMessages: Client<typeof RaftService>["sendMessages"] = async (requests) => {
    for await (const { messages = [] } of requests) {
      brought.push(...messages.map(({ body }) => body?.case ?? "nothing"));
    }
    return create(SendMessagesResponseSchema);
  };
  let attempts = 0;
  let listens = false;
  const connect = () => {
    attempts += 1;
    if (!listens) throw new Fault("unavailable", "nobody listens there");
    return {
      service: () => ({ sendMessages }),
      [Symbol.dispose]: () => undefined,
    } as unknown as Connection;
  };
  await using peer = new Peer({ id: 2, address: "127.0.0.1:1" }, { ...modules, connect });
  await until(() => attempts === 3);
  listens = true;
  peer.heard();
  peer.send({ kind: "vote-reply", from: 1, to: 2, term: 3, pre: true, granted: true });
  await until(() => brought.length > 0);
  assert.deepEqual(brought, ["voteReply"]);
});
