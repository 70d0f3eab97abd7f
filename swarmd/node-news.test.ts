import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { tlsInfoOf } from "#agent/node-description.ts";
import { NodeSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import { TestAuthority } from "#proto/testing/test-authority.ts";
import { certificateDigest, parseCertificate, publicKeyHash } from "#proto/tls/certificate.ts";
import { misfitOf, type NodeNews, wantedRole } from "./node-news.ts";

const { MANAGER, WORKER } = NodeRole;
const newsOf = (role: NodeRole, desiredRole: NodeRole): NodeNews => ({
  node: create(NodeSchema, { role, spec: { desiredRole } }),
});
const authority = await TestAuthority.create();
const manager = await authority.identity({ role: "manager" });
const worker = await authority.identity({ role: "worker" });

test("node news, a node is what it shall be, and a manager one until it is out of the group", () => {
  assert.equal(wantedRole({}, "worker"), "worker");
  assert.equal(wantedRole({}, "manager"), "manager");
  for (const role of ["manager", "worker"] as const) {
    assert.equal(wantedRole(newsOf(WORKER, MANAGER), role), "manager");
    assert.equal(wantedRole(newsOf(MANAGER, MANAGER), role), "manager");
    assert.equal(wantedRole(newsOf(WORKER, WORKER), role), "worker");
    assert.equal(wantedRole(newsOf(MANAGER, WORKER), role), role);
  }
});

test("node news, a certificate of another role does not fit", () => {
  assert.equal(misfitOf(manager, {}, "worker"), undefined);
  assert.equal(misfitOf(worker, newsOf(WORKER, MANAGER), "worker"), "the node's role has changed");
  assert.equal(misfitOf(manager, newsOf(WORKER, MANAGER), "worker"), undefined);
  assert.equal(misfitOf(manager, newsOf(MANAGER, WORKER), "manager"), undefined);
  assert.equal(misfitOf(manager, newsOf(WORKER, WORKER), "worker"), "the node's role has changed");
});

test("node news, a certificate of another authority, or of fewer roots, does not fit", async () => {
  const other = await TestAuthority.create(authority.clusterId);
  const wantedTls = tlsInfoOf(worker);
  assert.deepEqual(wantedTls.trustedRoots, [certificateDigest(authority.root)]);
  assert.equal(wantedTls.issuerKeyHash, publicKeyHash(parseCertificate(authority.root)));
  assert.equal(misfitOf(worker, { wantedTls }, "worker"), undefined);
  const both = { ...worker, caCertificates: authority.root + other.root };
  assert.equal(
    misfitOf(worker, { wantedTls: tlsInfoOf(both) }, "worker"),
    "other root certificates are to be trusted",
  );
  const turned = { ...worker, caCertificates: other.root + authority.root };
  assert.equal(misfitOf(turned, { wantedTls: tlsInfoOf(both) }, "worker"), undefined);
  const ofOther = { ...(await other.identity()), caCertificates: both.caCertificates };
  assert.equal(
    misfitOf(both, { wantedTls: tlsInfoOf(ofOther) }, "worker"),
    "the cluster's authority has another key",
  );
});
