/** A cluster's root changes while its nodes and managers go on talking over real connections. */
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { type TestContext, test } from "node:test";
import { serveEndpoint } from "#proto/endpoint.ts";
import { NodeCaService } from "#proto/gen/swarm/v1/node_pb.ts";
import { addService, Connection } from "#proto/grpc.ts";
import type { TlsIdentity } from "#proto/manager-messages.ts";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { until } from "#proto/testing/until.ts";
import { splitCertificates } from "#proto/tls/certificate.ts";
import type { ClientTls } from "#proto/tls/client-credentials.ts";
import { TlsIdentityHolder } from "#proto/tls/tls-identity-holder.ts";
import { loadX509 } from "#proto/tls/x509.ts";
import { type Authority, createRoot, signingParams } from "./authority.ts";
import { wantedTls } from "./issuer.ts";
import { RootRotator } from "./root-rotator.ts";
import { TestCluster } from "./testing/test-cluster.ts";

const timeout = 30_000;

function rotate(cluster: TestCluster): RootRotator {
  const ports = { clock: systemClock, random: systemRandom, log: silentLog };
  return new RootRotator({ ...ports, store: cluster.test.store });
}

function founderId(cluster: TestCluster): string {
  const [node] = cluster.test.store.list("node");
  assert(node !== undefined);
  return node.id;
}

const rotation = (cluster: TestCluster) => cluster.cluster.rootCa?.rootRotation;
const rootOf = (cluster: TestCluster) =>
  Buffer.from(cluster.cluster.rootCa?.caCert ?? []).toString();
const pem = ({ certificate, key }: Authority) => ({
  signingCaCert: Buffer.from(certificate),
  signingCaKey: Buffer.from(key),
});

/** Lets several rounds of the loop pass in which it could go wrong. */
async function settle(cluster: TestCluster): Promise<void> {
  const [node] = cluster.test.store.list("node");
  assert(node !== undefined);
  for (let i = 0; i < 3; i++) {
    await cluster.change(node.id, (same) => same);
    await systemClock.sleep(150);
  }
}

/** A manager that tells who calls. */
async function serve(t: TestContext, cluster: TestCluster) {
  const identity = new TlsIdentityHolder(cluster.founder);
  const clusterId = cluster.cluster.id;
  const endpoint = await serveEndpoint(
    "127.0.0.1:0",
    {
      tls: { identity, clusterId },
      owner: "manager",
      addServices: (server) =>
        addService(server, NodeCaService, {
          getRootCertificate: async (_request, { caller }) => ({ caCertificate: caller.kind }),
          issueNodeCertificate: async () => ({}),
          renewNodeCertificate: async () => ({}),
          withdrawNode: async () => ({}),
        }),
    },
    { clock: systemClock },
  );
  t.after(() => endpoint[Symbol.asyncDispose]());
  const ask = async (tls: ClientTls) => {
    using connection = new Connection(endpoint.address, { tls });
    const { caCertificate } = await connection.service(NodeCaService).getRootCertificate({});
    return caCertificate;
  };
  return {
    identity,
    /** As what the manager knows the node: "node", or "anonymous". */
    as: (own: TlsIdentity) =>
      ask({ kind: "mutual", identity: new TlsIdentityHolder(own), clusterId }),
    /** As a host that joins, and knows the root by its token. */
    join: (caCertificates: string) => ask({ kind: "server-only", caCertificates }),
  };
}

test("rotation, nodes move to the new root one by one, and all talk to all at every step", {
  timeout,
}, async (t) => {
  const cluster = await TestCluster.found();
  const oldRoot = rootOf(cluster);
  const oldTokens = cluster.tokens;
  const [one, two] = [await cluster.join(), await cluster.join()];
  await using _rotator = rotate(cluster);
  const manager = await serve(t, cluster);
  await cluster.update({ forceRotate: 1n });
  await until(() => rotation(cluster) !== undefined);
  assert.equal(cluster.cluster.rootCa?.lastForcedRotation, 1n);
  assert.equal(rootOf(cluster), oldRoot);

  // A node that has renewed, with one that has not, and a manager that has not.
  const oneNew = (await cluster.renew(one.identity)).identity;
  assert.deepEqual(splitCertificates(oneNew.caCertificates).length, 2);
  assert.equal(splitCertificates(oneNew.certificate).length, 2);
  assert.equal(await manager.as(oneNew), "node");
  assert.equal(await manager.as(two.identity), "node");

  // The manager has renewed, too: those who know only the old root trust it, also by a token.
  const founderNew = (await cluster.renew(cluster.founder)).identity;
  manager.identity.replace(founderNew);
  for (const identity of [oneNew, two.identity]) assert.equal(await manager.as(identity), "node");
  assert.equal(await manager.join(oldRoot), "anonymous");
  const late = await cluster.join({ token: oldTokens.worker });
  assert.equal(await manager.as(late.identity), "node");

  const wanted = wantedTls(cluster.cluster);
  assert.equal(wanted.trustedRoots.length, 2);
  const renewed = [
    [founderId(cluster), founderNew],
    [one.nodeId, oneNew],
    [late.nodeId, late.identity],
  ] as const;
  for (const [id, identity] of renewed) await cluster.report(id, identity);
  await cluster.report(two.nodeId, two.identity);
  await settle(cluster);
  assert(rotation(cluster) !== undefined, "the second node has not renewed");

  const twoNew = (await cluster.renew(two.identity)).identity;
  await cluster.report(two.nodeId, twoNew);
  await until(() => rotation(cluster) === undefined);
  const newRoot = rootOf(cluster);
  assert.notEqual(newRoot, oldRoot);
  assert.notEqual(cluster.tokens.worker, oldTokens.worker);
  assert.notEqual(cluster.tokens.manager, oldTokens.manager);
  await assert.rejects(cluster.join({ token: oldTokens.worker }), {
    code: "permission-denied",
    message: /of a root certificate that this one has no more/,
  });

  // What was given during the rotation goes on; what is given now trusts the new root alone.
  assert.equal(await manager.as(twoNew), "node");
  const last = (await cluster.renew(founderNew)).identity;
  assert.equal(last.caCertificates, newRoot);
  assert.equal(splitCertificates(last.certificate).length, 1);
  manager.identity.replace(last);
  for (const identity of [oneNew, twoNew, late.identity]) {
    assert.equal(await manager.as(identity), "node");
  }
  assert.equal(await manager.join(newRoot), "anonymous");
  await assert.rejects(manager.join(oldRoot), { message: /unknown authority/ });
  assert.equal(
    await manager.as({ ...one.identity, caCertificates: newRoot }),
    "anonymous",
    "the old root's certificates count for nothing any more",
  );
  assert.deepEqual(wantedTls(cluster.cluster).trustedRoots, [cluster.cluster.rootCa?.caCertHash]);
});

test("rotation, a node that trusts the new root only, or has its certificate only, is waited for", {
  timeout,
}, async () => {
  const cluster = await TestCluster.found();
  await using _rotator = rotate(cluster);
  await cluster.update({ forceRotate: 1n });
  await until(() => rotation(cluster) !== undefined);
  const renewed = (await cluster.renew(cluster.founder)).identity;
  const [old = "", next = ""] = splitCertificates(renewed.caCertificates);
  await cluster.report(founderId(cluster), { ...renewed, caCertificates: old });
  await settle(cluster);
  await cluster.report(founderId(cluster), {
    certificate: cluster.founder.certificate,
    key: "",
    caCertificates: old + next,
  });
  await settle(cluster);
  assert(rotation(cluster) !== undefined);
  await cluster.report(founderId(cluster), renewed);
  await until(() => rotation(cluster) === undefined);
});

test("rotation, a node that is down is waited for until it is removed", { timeout }, async () => {
  const cluster = await TestCluster.found();
  const down = await cluster.join();
  await using _rotator = rotate(cluster);
  await cluster.update({ forceRotate: 1n });
  await until(() => rotation(cluster) !== undefined);
  const renewed = (await cluster.renew(cluster.founder)).identity;
  await cluster.report(founderId(cluster), renewed);
  await settle(cluster);
  assert(rotation(cluster) !== undefined);
  const node = cluster.test.store.get("node", down.nodeId);
  assert(node !== undefined);
  await cluster.test.remove("node", node);
  await until(() => rotation(cluster) === undefined);
});

test("rotation, the next leader goes on with it", { timeout }, async () => {
  const cluster = await TestCluster.found();
  {
    await using _first = rotate(cluster);
    await cluster.update({ forceRotate: 1n });
    await until(() => rotation(cluster) !== undefined);
  }
  const before = rotation(cluster);
  const renewed = (await cluster.renew(cluster.founder)).identity;
  await cluster.report(founderId(cluster), renewed);
  assert.deepEqual(rotation(cluster), before);
  await using _second = rotate(cluster);
  await until(() => rotation(cluster) === undefined);
  assert.deepEqual(cluster.cluster.rootCa?.caCert, before?.caCert);
});

test("rotation, a second one takes the place of the first, whose certificates hold", {
  timeout,
}, async (t) => {
  const cluster = await TestCluster.found();
  const node = await cluster.join();
  await using _rotator = rotate(cluster);
  const manager = await serve(t, cluster);
  await cluster.update({ forceRotate: 1n });
  await until(() => rotation(cluster) !== undefined);
  const between = (await cluster.renew(node.identity)).identity;
  const first = rotation(cluster)?.caCert;
  await cluster.update({ forceRotate: 2n });
  await until(() => cluster.cluster.rootCa?.lastForcedRotation === 2n);
  assert.notDeepEqual(rotation(cluster)?.caCert, first);
  const founderNew = (await cluster.renew(cluster.founder)).identity;
  manager.identity.replace(founderNew);
  assert.equal(await manager.as(between), "node");
  const after = (await cluster.renew(between)).identity;
  assert.equal(await manager.as(after), "node");
  await cluster.report(node.nodeId, after);
  await cluster.report(founderId(cluster), founderNew);
  await until(() => rotation(cluster) === undefined);
});

/** RSA, as many a company has. */
async function companyRoot(): Promise<Authority> {
  const x509 = await loadX509();
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const root = await x509.X509CertificateGenerator.create({
    subject: "CN=Example Root, O=Example, C=DE",
    issuer: "CN=Example Root, O=Example, C=DE",
    notBefore: new Date(Date.now() - 1000),
    notAfter: new Date(Date.now() + 400 * 24 * 3_600_000),
    publicKey: publicKey.export({ type: "spki", format: "der" }),
    ...signingParams(privateKey),
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  });
  const key = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  return { certificate: `${root.toString("pem")}\n`, key };
}

test("rotation, to a root that the user gives, and from it to one of the managers' own", {
  timeout,
}, async (t) => {
  const cluster = await TestCluster.found();
  await using _rotator = rotate(cluster);
  const manager = await serve(t, cluster);
  const given = await companyRoot();
  const oldRoot = rootOf(cluster);
  await cluster.update({ ...pem(given), forceRotate: 1n });
  await until(() => rotation(cluster) !== undefined);
  const first = (await cluster.renew(cluster.founder)).identity;
  manager.identity.replace(first);
  assert.equal(await manager.join(oldRoot), "anonymous");
  assert.equal(await manager.as(cluster.founder), "node");
  await cluster.report(founderId(cluster), first);
  await until(() => rotation(cluster) === undefined);
  assert.equal(rootOf(cluster), given.certificate);
  const node = await cluster.join();
  assert.equal(await manager.as(node.identity), "node");

  // The same root once more is no change.
  await cluster.update({ ...pem(given), forceRotate: 2n });
  await until(() => cluster.cluster.rootCa?.lastForcedRotation === 2n);
  assert.equal(rotation(cluster), undefined);
  assert.equal(rootOf(cluster), given.certificate);

  const none = new Uint8Array();
  await cluster.update({ signingCaCert: none, signingCaKey: none, forceRotate: 3n });
  await until(() => rotation(cluster) !== undefined);
  const second = (await cluster.renew(first)).identity;
  manager.identity.replace(second);
  assert.equal(await manager.join(given.certificate), "anonymous");
  assert.equal(await manager.as(node.identity), "node");
  const nodeNew = (await cluster.renew(node.identity)).identity;
  await cluster.report(node.nodeId, nodeNew);
  await cluster.report(founderId(cluster), second);
  await until(() => rotation(cluster) === undefined);
  assert.equal(await manager.as(nodeNew), "node");
});

test("rotation, a root that cannot be one changes nothing and ends no leadership", {
  timeout,
}, async () => {
  const cluster = await TestCluster.found();
  await using rotator = rotate(cluster);
  let failure: unknown;
  rotator.failed.catch((thrown: unknown) => (failure = thrown));
  // Long enough when it was given, and not any more.
  const old = await createRoot(Date.now() - 19.5 * 365 * 24 * 3_600_000);
  await cluster.update({ ...pem(old), forceRotate: 1n });
  await settle(cluster);
  assert.equal(rotation(cluster), undefined);
  assert.equal(failure, undefined);
  await cluster.update({ ...pem(await createRoot(Date.now())), forceRotate: 2n });
  await until(() => rotation(cluster) !== undefined);
});

test("rotation, without a wish nothing is written", { timeout }, async () => {
  const cluster = await TestCluster.found();
  const before = cluster.cluster.meta?.version?.index;
  await using _rotator = rotate(cluster);
  await settle(cluster);
  assert.equal(cluster.cluster.meta?.version?.index, before);
});
