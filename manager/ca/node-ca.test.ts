import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { IssueNodeIdentityRequestSchema } from "#proto/gen/swarm/v1/node_pb.ts";
import { NodeAvailability, NodeMembership, NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import { newId } from "#proto/ids.ts";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { openTestStore } from "../testing/fixtures.ts";
import { applyBootstrap, parseBootstrap } from "./bootstrap.ts";
import { newClusterPart, newJoinToken, parseJoinToken } from "./join-token.ts";
import { nodeCaHandlers } from "./node-ca.ts";
import { authenticateNode, digestOf } from "./node-secret.ts";

const anyContext = {
  signal: new AbortController().signal,
  metadata: new Map<string, string>(),
  peer: "127.0.0.1:1",
};

async function openCluster() {
  const { store, remove } = openTestStore();
  const bootstrap = parseBootstrap(
    JSON.stringify({
      nodeId: newId(systemRandom),
      nodeSecretDigest: "0".repeat(64),
      advertiseAddress: "10.0.0.1:2377",
    }),
  );
  await applyBootstrap(bootstrap, { store, random: systemRandom });
  const ca = nodeCaHandlers({ store, clock: systemClock, random: systemRandom, log: silentLog });
  const tokens = store.list("cluster")[0]?.rootCa?.joinTokens;
  assert.ok(tokens);
  const join = (token: string, requestId = newId(systemRandom)) =>
    ca.issueNodeIdentity(
      create(IssueNodeIdentityRequestSchema, {
        token,
        requestId,
        description: { hostname: "h2" },
        availability: NodeAvailability.PAUSE,
      }),
      anyContext,
    );
  return { store, remove, tokens, join };
}

test("join, with the worker token a host becomes a node that can authenticate itself", async () => {
  const { store, tokens, join } = await openCluster();
  const { nodeId = "", nodeSecret = "", clusterId, role } = await join(tokens.worker);
  assert.deepEqual([clusterId, role], [store.list("cluster")[0]?.id, NodeRole.WORKER]);
  const node = store.get("node", nodeId);
  assert.equal(node?.secretDigest, digestOf(nodeSecret));
  assert.deepEqual(
    [node?.number, node?.spec?.membership, node?.spec?.availability, node?.description?.hostname],
    [2, NodeMembership.ACCEPTED, NodeAvailability.PAUSE, "h2"],
  );
  const metadata = new Map([
    ["swarm-node-id", nodeId],
    ["swarm-node-secret", nodeSecret],
  ]);
  assert.equal(authenticateNode(store, { ...anyContext, metadata }).id, nodeId);
});

test("join, nodes that join together get different numbers, and the smallest free ones", async () => {
  const { store, remove, tokens, join } = await openCluster();
  await Promise.all([join(tokens.worker), join(tokens.worker), join(tokens.worker)]);
  const numbers = () => store.list("node").map(({ number }) => number);
  assert.deepEqual(numbers(), [1, 2, 3, 4]);
  const second = store.list("node")[1];
  assert.ok(second);
  await remove("node", second);
  await join(tokens.worker);
  assert.deepEqual(numbers(), [1, 3, 4, 2]);
});

test("join, a call that is made again is given the same node and secret", async () => {
  const { store, tokens, join } = await openCluster();
  const requestId = newId(systemRandom);
  const answers = await Promise.all([
    join(tokens.worker, requestId),
    join(tokens.worker, requestId),
  ]);
  answers.push(await join(tokens.worker, requestId));
  for (const answer of answers) assert.deepEqual(answer, answers[0]);
  assert.equal(store.list("node").length, 2);
  await assert.rejects(join(tokens.worker, ""), { message: "request_id is not an ID" });
});

test("join, each wrong token is refused for what is wrong with it", async () => {
  const { store, tokens, join } = await openCluster();
  const { cluster } = parseJoinToken(tokens.worker);
  await assert.rejects(join("SWMTKN-1-x"), { code: "invalid-argument", message: /malformed/ });
  await assert.rejects(join(newJoinToken(newClusterPart(systemRandom), systemRandom)), {
    code: "permission-denied",
    message: /of another cluster/,
  });
  await assert.rejects(join(newJoinToken(cluster, systemRandom)), {
    code: "permission-denied",
    message: /not valid any more, or mistyped/,
  });
  await assert.rejects(join(tokens.manager), {
    code: "unimplemented",
    message: /replicated managers come later; join with the worker token/,
  });
  assert.equal(store.list("node").length, 1);
});

test("authentication, each lack is named", async () => {
  const { store, tokens, join } = await openCluster();
  const { nodeId = "" } = await join(tokens.worker);
  const call = (headers: Record<string, string>) =>
    authenticateNode(store, { ...anyContext, metadata: new Map(Object.entries(headers)) });
  assert.throws(() => call({}), { code: "unauthenticated", message: /no swarm-node-id/ });
  assert.throws(() => call({ "swarm-node-id": nodeId }), { message: /no swarm-node-secret/ });
  assert.throws(() => call({ "swarm-node-id": "x", "swarm-node-secret": "y" }), {
    code: "permission-denied",
    message: /node "x" is not a member of this cluster/,
  });
  assert.throws(() => call({ "swarm-node-id": nodeId, "swarm-node-secret": "y" }), {
    code: "unauthenticated",
    message: new RegExp(`the secret of node "${nodeId}" is wrong`),
  });
});
