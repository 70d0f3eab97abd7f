import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { IssueUserCertificateRequestSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import { GetRootCertificateRequestSchema } from "#proto/gen/swarm/v1/node_pb.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  NodeAvailability,
  NodeMembership,
  NodeRole,
  NodeState,
  NodeStatusSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { newId } from "#proto/ids.ts";
import { systemRandom } from "#proto/system-ports.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { identityOf, parseCertificate, validityOf } from "#proto/tls/certificate.ts";
import { createCertificateRequest } from "#proto/tls/certificate-request.ts";
import { loadX509 } from "#proto/tls/x509.ts";
import { newJoinToken } from "./join-token.ts";
import { contextOf, TestCluster } from "./testing/test-cluster.ts";
import { issueUserCertificate } from "./user-ca.ts";

const timeout = 20_000;
const hourMs = 3_600_000;

const demand = (role: NodeRole) => (node: Node) =>
  ({ ...node, spec: { ...node.spec, desiredRole: role } }) as Node;

test("root, everybody is given the certificate that the tokens name", { timeout }, async () => {
  const cluster = await TestCluster.found();
  const stranger = contextOf({ kind: "anonymous", problem: "" });
  const request = create(GetRootCertificateRequestSchema);
  const { caCertificate } = await cluster.ca.getRootCertificate(request, stranger);
  assert.equal(caCertificate, cluster.founder.caCertificates);
});

test("join, with the worker token a host becomes a worker with a certificate of its key", {
  timeout,
}, async () => {
  const cluster = await TestCluster.found();
  const { nodeId, role, number, clusterId, identity } = await cluster.join();
  assert.deepEqual([role, number, clusterId], [NodeRole.WORKER, 2, cluster.cluster.id]);
  const certificate = parseCertificate(identity.certificate);
  assert.deepEqual(identityOf(certificate), { kind: "node", nodeId, role: "worker", clusterId });
  assert(certificate.verify(parseCertificate(identity.caCertificates).publicKey));
  assert(!certificate.ca);
  // May be a client, and the server of its engine; that it is no manager says its subject.
  assert.deepEqual(certificate.keyUsage, ["1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.1"]);
  const node = cluster.test.store.get("node", nodeId);
  assert.deepEqual(
    [node?.role, node?.spec?.membership, node?.spec?.availability, node?.description?.hostname],
    [NodeRole.WORKER, NodeMembership.ACCEPTED, NodeAvailability.PAUSE, "h2"],
  );
});

test("join, with the manager token it shall be a manager, and is none yet", {
  timeout,
}, async () => {
  const cluster = await TestCluster.found();
  const { nodeId, role, identity } = await cluster.join({ token: cluster.tokens.manager });
  assert.equal(role, NodeRole.MANAGER);
  const certificate = parseCertificate(identity.certificate);
  const named = identityOf(certificate);
  assert(named?.kind === "node" && named.role === "manager");
  assert.deepEqual(certificate.keyUsage, ["1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.1"]);
  const node = cluster.test.store.get("node", nodeId);
  assert.deepEqual([node?.role, node?.spec?.desiredRole], [NodeRole.WORKER, NodeRole.MANAGER]);
});

test("join, a subject that the host wishes counts for nothing", { timeout }, async () => {
  const cluster = await TestCluster.found();
  const x509 = await loadX509();
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: `CN=${newId(systemRandom)}, OU=swarm-manager, O=${cluster.cluster.id}`,
    keys,
    signingAlgorithm: algorithm,
    extensions: [new x509.BasicConstraintsExtension(true)],
  });
  const { nodeId, identity } = await cluster.join({ csr: request.toString("pem") });
  const certificate = parseCertificate(identity.certificate);
  assert(!certificate.ca);
  const clusterId = cluster.cluster.id;
  assert.deepEqual(identityOf(certificate), { kind: "node", nodeId, role: "worker", clusterId });
});

test("join, nodes that join together get different numbers, and the smallest free ones", {
  timeout,
}, async () => {
  const cluster = await TestCluster.found();
  const { store, remove } = cluster.test;
  await Promise.all([cluster.join(), cluster.join(), cluster.join()]);
  const numbers = () => store.list("node").map(({ number }) => number);
  assert.deepEqual(numbers(), [1, 2, 3, 4]);
  const [, second] = store.list("node");
  assert(second !== undefined);
  await remove("node", second);
  await cluster.join();
  assert.deepEqual(numbers(), [1, 3, 4, 2]);
});

test("join, many nodes may join at once", { timeout }, async () => {
  const cluster = await TestCluster.found();
  const nodes = await Promise.all(Array.from({ length: 30 }, () => cluster.join()));
  assert.equal(new Set(nodes.map(({ number }) => number)).size, nodes.length);
});

test("join, a call that is made again is given the same node and a new certificate", {
  timeout,
}, async () => {
  const cluster = await TestCluster.found();
  const requestId = newId(systemRandom);
  const answers = await Promise.all([cluster.join({ requestId }), cluster.join({ requestId })]);
  answers.push(await cluster.join({ requestId }));
  for (const { nodeId, number } of answers) {
    assert.deepEqual([nodeId, number], [answers[0]?.nodeId, 2]);
  }
  assert.equal(cluster.test.store.list("node").length, 2);
  await assert.rejects(cluster.join({ requestId: "" }), { message: "request_id is not an ID" });

  await cluster.change(answers[0]?.nodeId ?? "", demand(NodeRole.MANAGER));
  const again = await cluster.join({ requestId });
  assert.equal(again.nodeId, answers[0]?.nodeId);
  assert.equal(again.role, NodeRole.WORKER, "the worker token makes no manager");
});

test("join, a token that is malformed, wrong, of another cluster or rotated lets nobody in", {
  timeout,
}, async () => {
  const [cluster, other] = [await TestCluster.found(), await TestCluster.found()];
  const { index } = cluster.test.store;
  const wrong = newJoinToken(cluster.cluster.rootCa?.caCertHash ?? "", systemRandom);
  const refused: readonly [string, string, RegExp][] = [
    ["SWMTKN-1-x", "invalid-argument", /malformed/],
    [other.tokens.worker, "permission-denied", /of another cluster/],
    [wrong, "permission-denied", /may have been rotated/],
  ];
  for (const [token, code, message] of refused) {
    await assert.rejects(cluster.join({ token }), { code, message });
  }
  await assert.rejects(cluster.join({ csr: "x" }), { message: /certificate request is not valid/ });
  assert.equal(cluster.test.store.index, index);
});

test("join, a clock that is too far off is named, in hours", { timeout }, async () => {
  const clock = new FakeClock(Date.UTC(2026, 0, 1, 12));
  const cluster = await TestCluster.found({
    clock,
    spec: { ca: { nodeCertExpiry: { seconds: 7200n } } },
  });
  const joinAt = (nowMs: number) => cluster.join({ nowMs });
  const { index } = cluster.test.store;
  await assert.rejects(joinAt(clock.now() - 3 * hourMs), {
    code: "failed-precondition",
    message:
      "the host's clock is 3 h behind the manager's (2026-01-01T09:00:00Z there, 2026-01-01T12:00:00Z here): set it, and join again",
  });
  await assert.rejects(joinAt(clock.now() + 5 * hourMs), {
    message: /is 5 h ahead of the manager/,
  });
  await assert.rejects(joinAt(clock.now() + 100 * 24 * hourMs), { message: /is 100 days ahead/ });
  await assert.rejects(joinAt(0), { message: "now is missing" });
  assert.equal(cluster.test.store.index, index);
  await joinAt(clock.now() - 0.9 * hourMs);
  await joinAt(clock.now() + 1.9 * hourMs);
});

test("renewal, the new certificate is of another key and says the role that is wanted", {
  timeout,
}, async () => {
  const clock = new FakeClock();
  const cluster = await TestCluster.found({ clock });
  const { nodeId, identity } = await cluster.join();
  clock.advance(50 * 24 * hourMs);
  const renewed = await cluster.renew(identity);
  assert.equal(renewed.role, NodeRole.WORKER);
  const { notBeforeMs, notAfterMs } = validityOf(parseCertificate(renewed.identity.certificate));
  const second = (ms: number) => Math.floor(ms / 1000) * 1000;
  assert.equal(notBeforeMs, second(clock.now() - hourMs));
  assert.equal(notAfterMs, second(clock.now() + 90 * 24 * hourMs));

  await cluster.change(nodeId, demand(NodeRole.MANAGER));
  const promoted = await cluster.renew(renewed.identity);
  assert.equal(promoted.role, NodeRole.MANAGER);
  const named = identityOf(parseCertificate(promoted.identity.certificate));
  assert(named?.kind === "node" && named.role === "manager" && named.nodeId === nodeId);

  await cluster.change(nodeId, demand(NodeRole.WORKER));
  assert.equal((await cluster.renew(promoted.identity)).role, NodeRole.WORKER);
});

test("renewal, a manager that is demoted stays one in its certificate until it is out of the group", {
  timeout,
}, async () => {
  const cluster = await TestCluster.found();
  const { nodeId, identity } = await cluster.join({ token: cluster.tokens.manager });
  await cluster.change(nodeId, (node) => ({
    ...demand(NodeRole.WORKER)(node),
    role: NodeRole.MANAGER,
  }));
  assert.equal((await cluster.renew(identity)).role, NodeRole.MANAGER);
  await cluster.change(nodeId, (node) => ({ ...node, role: NodeRole.WORKER }));
  assert.equal((await cluster.renew(identity)).role, NodeRole.WORKER);
});

test("renewal, a node that was removed is refused", { timeout }, async () => {
  const cluster = await TestCluster.found();
  const { nodeId, identity } = await cluster.join();
  const node = cluster.test.store.get("node", nodeId);
  assert(node !== undefined);
  await cluster.test.remove("node", node);
  await assert.rejects(cluster.renew(identity), {
    code: "permission-denied",
    message: new RegExp(`^node "${nodeId}" was removed from the cluster \\(clear it`),
  });
});

test("withdrawal, the node is forgotten while it is neither up nor a manager", {
  timeout,
}, async () => {
  const cluster = await TestCluster.found();
  const { nodeId, identity } = await cluster.join({ token: cluster.tokens.manager });
  await cluster.change(nodeId, (node) => ({ ...node, role: NodeRole.MANAGER }));
  await assert.rejects(cluster.withdraw(identity), { code: "failed-precondition" });
  const status = create(NodeStatusSchema, { state: NodeState.READY });
  await cluster.change(nodeId, (node) => ({ ...node, role: NodeRole.WORKER, status }));
  await assert.rejects(cluster.withdraw(identity), { code: "failed-precondition" });
  const unseen = create(NodeStatusSchema, { state: NodeState.UNKNOWN });
  await cluster.change(nodeId, (node) => ({ ...node, status: unseen }));
  await cluster.withdraw(identity);
  assert.equal(cluster.test.store.get("node", nodeId), undefined);
  await assert.rejects(cluster.withdraw(identity), { code: "permission-denied" });
});

test("user, is given a certificate of its name and the managers' addresses", {
  timeout,
}, async () => {
  const cluster = await TestCluster.found();
  const { csr } = await createCertificateRequest();
  const issue = (name: string) =>
    issueUserCertificate(create(IssueUserCertificateRequestSchema, { name, csr }), {
      store: cluster.test.store,
      clock: cluster.clock,
    });
  const { certificate, caCertificates, clusterId, managers } = await issue("anna@example.org");
  assert.deepEqual(identityOf(parseCertificate(certificate)), {
    kind: "user",
    name: "anna@example.org",
    clusterId,
  });
  assert.equal(clusterId, cluster.cluster.id);
  assert.equal(caCertificates, cluster.founder.caCertificates);
  assert.deepEqual(managers, ["192.0.2.1:2377"]);
  for (const name of ["", "a b", "#0403616263", "x, OU=swarm-manager", "x".repeat(65)]) {
    await assert.rejects(issue(name), {
      code: "invalid-argument",
      message: /is not a user's name/,
    });
  }
});
