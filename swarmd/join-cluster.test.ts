/** With a manager that is a few handlers behind TLS of a test's authority. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { TlsServer } from "#agent/testing/tls-server.ts";
import { Fault } from "#proto/fault.ts";
import { NodeCaService } from "#proto/gen/swarm/v1/node_pb.ts";
import { NodeAvailability, NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import { addService, type Handlers } from "#proto/grpc.ts";
import { newId } from "#proto/ids.ts";
import { systemClock, systemRandom } from "#proto/system-ports.ts";
import { TestAuthority } from "#proto/testing/test-authority.ts";
import { certificateDigest } from "#proto/tls/certificate.ts";
import { joinCluster, newJoinAttempt } from "./join-cluster.ts";
import { withdrawNode } from "./withdraw-node.ts";

const timeout = 15_000;
const authority = await TestAuthority.create();
const nodeId = newId(systemRandom);
const { certificate } = await authority.identity({ name: nodeId });
const tokenOf = (root: string) => `SWMTKN-1-${certificateDigest(root)}-${newId(systemRandom)}`;
const token = tokenOf(authority.root);

type NodeCa = Handlers<typeof NodeCaService>;

function serve(handlers: Partial<NodeCa>, of = authority): Promise<TlsServer> {
  return TlsServer.serve(of, (server) =>
    addService(server, NodeCaService, {
      getRootCertificate: async () => ({ caCertificate: authority.root }),
      issueNodeCertificate: async () => {
        throw new Fault("permission-denied", "the join token is no token of this cluster");
      },
      renewNodeCertificate: async () => ({}),
      withdrawNode: async () => ({}),
      ...handlers,
    }),
  );
}

async function join(managers: readonly string[], withToken = token) {
  const attempt = await newJoinAttempt(withToken, systemRandom);
  const { ACTIVE: availability } = NodeAvailability;
  const options = { managers, attempt, availability, dataPathAddress: "192.0.2.3" };
  return await joinCluster(options, { clock: systemClock });
}

test("joining, hands in token, request, clock and itself, and takes no certificate of another key", {
  timeout,
}, async () => {
  let callers = 0;
  using manager = await serve({
    issueNodeCertificate: async (request, { caller }) => {
      assert.equal(caller.kind, "anonymous");
      assert.equal(request.token, token);
      assert.match(request.csr, /BEGIN CERTIFICATE REQUEST/);
      assert.equal(request.description?.dataPathAddress, "192.0.2.3");
      assert.notEqual(request.now, undefined);
      callers++;
      return {
        nodeId,
        clusterId: authority.clusterId,
        role: NodeRole.WORKER,
        number: 2,
        certificate: { certificate, caCertificates: authority.root },
      };
    },
  });
  await assert.rejects(join([manager.address]), {
    message: "the certificate that the manager issued cannot be used: it is of another key",
  });
  assert.equal(callers, 1);
});

test("joining, gives the token to nobody but a manager that it vouches for", {
  timeout,
}, async () => {
  const stranger = await TestAuthority.create();
  const issueNodeCertificate = () => assert.fail("the token was given away");
  // Its root is another one; it shows ours, but is not ours; its own comes with ours; the token is another cluster's.
  using honest = await serve(
    { getRootCertificate: async () => ({ caCertificate: stranger.root }), issueNodeCertificate },
    stranger,
  );
  using thief = await serve({ issueNodeCertificate }, stranger);
  const both = `${authority.root}${stranger.root}`;
  using smuggler = await serve(
    { getRootCertificate: async () => ({ caCertificate: both }), issueNodeCertificate },
    stranger,
  );
  using ours = await serve({ issueNodeCertificate });
  await assert.rejects(join([honest.address]), {
    code: "unauthenticated",
    message: /^the join token is not of the cluster that answers at 127\.0\.0\.1/,
  });
  for (const { address } of [thief, smuggler]) {
    await assert.rejects(join([address]), /Cannot trust the manager: the certificate was signed/);
  }
  await assert.rejects(join([ours.address], tokenOf(stranger.root)), { code: "unauthenticated" });
});

test("joining, silence leads to the next manager, a refusal does not", { timeout }, async () => {
  let asked = 0;
  const refuse = async () => {
    asked++;
    throw new Fault("permission-denied", "the join token is no token of this cluster");
  };
  using first = await serve({ issueNodeCertificate: refuse });
  using second = await serve({ issueNodeCertificate: refuse });
  await assert.rejects(join(["127.0.0.1:1", first.address, second.address]), {
    code: "permission-denied",
  });
  assert.equal(asked, 1);
  await assert.rejects(join(["127.0.0.1:1"]), {
    code: "unavailable",
    message: /^manager 127\.0\.0\.1:1 cannot be reached: check the address, .*ECONNREFUSED/,
  });
});

test("joining, a malformed token is told before anybody is asked", async () => {
  await assert.rejects(newJoinAttempt("SWMTKN-1-x", systemRandom), { code: "invalid-argument" });
});

test("joining, one that cannot begin takes itself back at the first manager that answers", {
  timeout,
}, async () => {
  const withdrawn: string[] = [];
  using manager = await serve({
    withdrawNode: async (_, { caller }) => {
      if (caller.kind === "node") withdrawn.push(caller.nodeId);
      return {};
    },
  });
  const tls = await authority.identity({ name: nodeId });
  const { clusterId } = authority;
  await withdrawNode({ tls, clusterId, managers: ["127.0.0.1:1", manager.address] });
  assert.deepEqual(withdrawn, [nodeId]);
  await assert.rejects(withdrawNode({ tls, clusterId, managers: ["127.0.0.1:1"] }), {
    message: /^manager 127\.0\.0\.1:1: /,
  });
});

test("joining, a root that is no certificate is a fault", { timeout }, async () => {
  using manager = await serve({ getRootCertificate: async () => ({ caCertificate: "garbage" }) });
  await assert.rejects(join([manager.address]), {
    message: /^Cannot use the root certificate that 127.* shows: it is not a certificate/,
  });
});
