import assert from "node:assert/strict";
import { it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ClusterSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeTlsInfoSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { TestAuthority } from "#proto/testing/test-authority.ts";
import { certificateDigest, parseCertificate, publicKeyHash } from "#proto/tls/certificate.ts";
import { FakeCluster } from "../testing/fake-cluster.ts";
import { aNode } from "../testing/objects.ts";
import { runCli } from "../testing/run-cli.ts";

it("node ls says by template whose certificates are of the cluster's root", async () => {
  const { root } = await TestAuthority.create();
  const issuerKeyHash = publicKeyHash(parseCertificate(root));
  const certified = (hostname: string, trustedRoots: string[]) => {
    const node = aNode(hostname);
    const tls = create(NodeTlsInfoSchema, { trustedRoots, issuerKeyHash });
    if (node.description !== undefined) node.description.tls = tls;
    return node;
  };
  const nodes = [
    certified("h1", [certificateDigest(root)]),
    certified("h2", ["another"]),
    aNode("h3"),
  ];
  const cluster = create(ClusterSchema, { rootCa: { caCert: Buffer.from(root) } });
  const control = { listNodes: async () => ({ nodes }), getCluster: async () => ({ cluster }) };
  await using host = await FakeCluster.open({ control });
  const { stdout } = await runCli(host, ["node", "ls", "--format", "{{.TLSStatus}}"]);
  assert.equal(stdout, "Ready\nNeeds Rotation\nUnknown\n");
});
