import assert from "node:assert/strict";
import { test } from "node:test";
import { Fault } from "#proto/fault.ts";
import { systemClock } from "#proto/system-ports.ts";
import { until } from "#proto/testing/until.ts";
import { Peer } from "./peer.ts";

test("peer, a certificate that is no manager's any more ends the call, not the process", async () => {
  const ended: Fault[] = [];
  const options = { id: 2, address: "127.0.0.1:1" };
  await using _peer = new Peer(options, {
    group: "group",
    ownAddress: "127.0.0.1:2",
    connect: () => {
      throw new Fault("failed-precondition", "this node's certificate is not a manager's");
    },
    readChunk: async () => undefined,
    clock: systemClock,
    onDisconnected: () => undefined,
    onSnapshotGone: () => undefined,
    onEnded: (fault) => ended.push(fault),
  });
  await until(() => ended.length === 2);
  assert.match(ended[0]?.message ?? "", /not a manager's/);
});
