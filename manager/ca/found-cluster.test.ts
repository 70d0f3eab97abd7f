import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { RootRotationSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { ClusterSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { NodeAvailability, NodeMembership, NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import { newId } from "#proto/ids.ts";
import { parseJoinToken } from "#proto/join-token.ts";
import { systemClock, systemRandom } from "#proto/system-ports.ts";
import { msFromDuration } from "#proto/time.ts";
import { certificateDigest, identityOf, parseCertificate } from "#proto/tls/certificate.ts";
import { createCertificateRequest } from "#proto/tls/certificate-request.ts";
import { publicCluster } from "../control/cluster.ts";
import { openTestStore } from "../testing/fixtures.ts";
import { createRoot } from "./authority.ts";
import { foundCluster } from "./found-cluster.ts";
import { TestCluster } from "./testing/test-cluster.ts";

type SpecInit = Omit<MessageInitShape<typeof ClusterSpecSchema>, "$typeName" | "$unknown">;

const timeout = 20_000;

test("founding, makes the cluster with its defaults and the first manager's node", {
  timeout,
}, async () => {
  const { cluster, founder, test } = await TestCluster.found();
  const [node] = test.store.list("node");
  assert.deepEqual(identityOf(parseCertificate(founder.certificate)), {
    kind: "node",
    nodeId: node?.id,
    role: "manager",
    clusterId: cluster.id,
  });
  assert.equal(cluster.spec?.annotations?.name, "default");
  assert.equal(msFromDuration(cluster.spec?.ca?.nodeCertExpiry, 0), 90 * 24 * 3_600_000);
  const digest = certificateDigest(founder.caCertificates);
  assert.equal(cluster.rootCa?.caCertHash, digest);
  for (const token of [cluster.rootCa?.joinTokens?.worker, cluster.rootCa?.joinTokens?.manager]) {
    assert.equal(parseJoinToken(token ?? "").rootDigest, digest);
  }
  assert.equal(cluster.unlockKey, "");
  assert.deepEqual(
    [node?.number, node?.role, node?.spec?.desiredRole, node?.spec?.membership],
    [1, NodeRole.MANAGER, NodeRole.MANAGER, NodeMembership.ACCEPTED],
  );
  assert.deepEqual(
    [node?.managerStatus?.raftId, node?.managerStatus?.address],
    [7n, "192.0.2.1:2377"],
  );
});

test("founding, makes the ingress network and an IPv6 pool that is the cluster's own", {
  timeout,
}, async () => {
  const [one, two] = [await TestCluster.found(), await TestCluster.found()];
  const [ingress, ...others] = one.test.store.list("network");
  assert.equal(others.length, 0);
  assert.deepEqual(
    [ingress?.spec?.annotations?.name, ingress?.spec?.ingress, ingress?.spec?.ipv6Enabled],
    ["ingress", true, true],
  );
  const poolsOf = ({ cluster }: TestCluster) => cluster.spec?.network?.defaultAddressPools ?? [];
  assert.equal(poolsOf(one)[0], "10.0.0.0/8");
  assert.match(poolsOf(one)[1] ?? "", /^fd[0-9a-f:]+::\/48$/);
  assert.notEqual(poolsOf(one)[1], poolsOf(two)[1]);
});

test("founding, takes the user's address pools, mask length and data path port", {
  timeout,
}, async () => {
  const defaultAddressPools = ["fd00:7::/56", "172.20.0.0/16", "172.24.0.0/16"];
  const network = { defaultAddressPools, subnetSize: 26, dataPathPort: 7789 };
  const { cluster } = await TestCluster.found({ spec: { network } });
  const made = cluster.spec?.network;
  assert.deepEqual(made?.defaultAddressPools, defaultAddressPools);
  assert.deepEqual([made?.subnetSize, made?.dataPathPort], [26, 7789]);
});

test("founding, takes the user's root, certificate expiry and autolock", { timeout }, async () => {
  const root = await createRoot(Date.now());
  const { cluster, founder } = await TestCluster.found({
    spec: {
      ca: {
        nodeCertExpiry: { seconds: 7200n },
        signingCaCert: Buffer.from(root.certificate),
        signingCaKey: Buffer.from(root.key),
      },
      encryption: { autoLockManagers: true },
    },
  });
  assert.equal(founder.caCertificates, root.certificate);
  assert.match(cluster.unlockKey, /^SWMKEY-1-/);
  const { validFromDate, validToDate } = parseCertificate(founder.certificate);
  assert.equal(validToDate.getTime() - validFromDate.getTime(), 3 * 3_600_000);
});

test("founding, a wrong request, spec or root leaves nothing", { timeout }, async () => {
  const { store } = openTestStore();
  const { csr } = await createCertificateRequest();
  const found = ({ csr: own, ...spec }: { csr?: string } & SpecInit) =>
    foundCluster(
      {
        nodeId: newId(systemRandom),
        csr: own ?? csr,
        spec: create(ClusterSpecSchema, spec),
        description: undefined,
        availability: NodeAvailability.ACTIVE,
        address: "192.0.2.1:2377",
        raftId: 1n,
      },
      { store, clock: systemClock, random: systemRandom },
    );
  await assert.rejects(found({ csr: "x" }), { message: /certificate request is not valid/ });
  await assert.rejects(found({ ca: { nodeCertExpiry: { seconds: 3599n } } }), {
    message: /node_cert_expiry \(--cert-expiry\) is under an hour/,
  });
  await assert.rejects(found({ ca: { nodeCertExpiry: { seconds: 876_000n * 3_600n } } }), {
    message: /is over ten years/,
  });
  const junk = { signingCaCert: Buffer.from("x"), signingCaKey: Buffer.from("y") };
  const pools = (...defaultAddressPools: string[]) => found({ network: { defaultAddressPools } });
  await assert.rejects(pools("10.0.0.0/25"), { message: /mask-length\) is \/24: use a size from/ });
  await assert.rejects(pools("fd00::/65"), { message: /is \/65: networks get a \/64 of it/ });
  await assert.rejects(pools("10.0.0.0/8", "10.9.0.0/16"), {
    message: /overlaps with 10\.0\.0\.0\/8/,
  });
  await assert.rejects(pools("127.8.0.0/16"), {
    message: /addr-pool\) is of no use: 127\.0\.0\.0\/8 is every host's loopback/,
  });
  await assert.rejects(pools("ten"), { message: /"ten" is not an IPv4 subnet/ });
  for (const dataPathPort of [1023, 49_152]) {
    const message = new RegExp(`--data-path-port\\) is ${dataPathPort}: use 1024 to 49151`);
    await assert.rejects(found({ network: { dataPathPort } }), { message });
  }
  await assert.rejects(found({ ca: junk }), { message: /Cannot use the root certificate/ });
  assert.equal(store.index, 0n);
  await found({});
  await assert.rejects(found({}), { code: "failed-precondition", message: /holds one already/ });
});

/** All words in a message, also those in bytes. */
function textIn(value: unknown): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString();
  if (typeof value === "object" && value !== null) {
    return Object.values(value).map(textIn).join("\n");
  }
  return String(value);
}

test("a cluster as users see it holds no key and no token", { timeout }, async () => {
  const root = await createRoot(Date.now());
  const { cluster } = await TestCluster.found({
    spec: {
      ca: { signingCaCert: Buffer.from(root.certificate), signingCaKey: Buffer.from(root.key) },
      encryption: { autoLockManagers: true },
    },
  });
  const { rootCa } = cluster;
  assert(rootCa !== undefined);
  rootCa.rootRotation = create(RootRotationSchema, {
    caCert: Buffer.from("new"),
    caKey: Buffer.from("secret key"),
  });
  const [whole, shown] = [textIn(cluster), textIn(publicCluster(cluster))];
  for (const secret of [root.key, cluster.unlockKey, "secret key", "SWMTKN", "PRIVATE KEY"]) {
    assert(whole.includes(secret), "the test sees what there is");
    assert(!shown.includes(secret), shown);
  }
  assert.deepEqual(publicCluster(cluster).rootCa?.caCert, rootCa.caCert);
});
