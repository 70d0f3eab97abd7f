/** A founded cluster on a store in memory, with its authority, and hosts that join it. */
import assert from "node:assert/strict";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  IssueNodeCertificateRequestSchema,
  type NodeCaService,
  RenewNodeCertificateRequestSchema,
  WithdrawNodeRequestSchema,
} from "#proto/gen/swarm/v1/node_pb.ts";
import type { Cluster, Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type CaConfig, ClusterSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  NodeAvailability,
  NodeDescriptionSchema,
  NodeTlsInfoSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { CallContext, Handlers } from "#proto/grpc.ts";
import { newId } from "#proto/ids.ts";
import type { TlsIdentity } from "#proto/manager-messages.ts";
import type { Clock } from "#proto/ports.ts";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { timestampFromMs } from "#proto/time.ts";
import {
  certificateDigest,
  identityOf,
  parseCertificate,
  publicKeyHash,
  splitCertificates,
} from "#proto/tls/certificate.ts";
import { createCertificateRequest } from "#proto/tls/certificate-request.ts";
import { clusterOf } from "../../cluster.ts";
import { openTestStore, type TestStore } from "../../testing/fixtures.ts";
import { foundCluster } from "../found-cluster.ts";
import { nodeCaHandlers } from "../node-ca.ts";

export interface JoinOptions {
  readonly token?: string;
  readonly requestId?: string;
  readonly csr?: string;
  /** The host's clock. */
  readonly nowMs?: number;
}

export class TestCluster {
  readonly test: TestStore;
  readonly ca: Handlers<typeof NodeCaService>;
  readonly clock: Clock;
  /** The first manager's node. */
  readonly founder: TlsIdentity;

  /** For `found`. */
  constructor(parts: Pick<TestCluster, "test" | "clock" | "founder">) {
    this.test = parts.test;
    this.clock = parts.clock;
    this.founder = parts.founder;
    const { store, log: replication } = this.test;
    const ports = { clock: this.clock, random: systemRandom, log: silentLog };
    this.ca = nodeCaHandlers({ ...ports, store, replication });
  }

  static async found(
    options: { clock?: Clock; spec?: MessageInitShape<typeof ClusterSpecSchema> } = {},
  ): Promise<TestCluster> {
    const { clock = systemClock, spec = {} } = options;
    const test = openTestStore(clock);
    const { key, csr } = await createCertificateRequest();
    const foundation = {
      nodeId: newId(systemRandom),
      csr,
      spec: create(ClusterSpecSchema, spec),
      description: undefined,
      availability: NodeAvailability.ACTIVE,
      address: "192.0.2.1:2377",
      raftId: 7n,
    };
    const modules = { store: test.store, clock, random: systemRandom };
    const { certificate, caCertificates } = await foundCluster(foundation, modules);
    return new TestCluster({ test, clock, founder: { certificate, key, caCertificates } });
  }

  get cluster(): Cluster {
    const cluster = clusterOf(this.test.store);
    assert(cluster !== undefined);
    return cluster;
  }

  get tokens() {
    const tokens = this.cluster.rootCa?.joinTokens;
    assert(tokens !== undefined);
    return tokens;
  }

  async join(options: JoinOptions = {}) {
    const request = await createCertificateRequest();
    const { token = this.tokens.worker, requestId = newId(systemRandom) } = options;
    const { csr = request.csr, nowMs = this.clock.now() } = options;
    const answer = await this.ca.issueNodeCertificate(
      create(IssueNodeCertificateRequestSchema, {
        token,
        csr,
        requestId,
        description: { hostname: "h2" },
        availability: NodeAvailability.PAUSE,
        now: timestampFromMs(nowMs),
      }),
      contextOf({ kind: "anonymous", problem: "it shows no certificate" }),
    );
    const { certificate = "", caCertificates = "" } = answer.certificate ?? {};
    const { nodeId = "", role, number, clusterId } = answer;
    const identity: TlsIdentity = { certificate, key: request.key, caCertificates };
    return { nodeId, role, number, clusterId, identity };
  }

  /** As the node of a certificate. */
  async renew({ certificate }: TlsIdentity) {
    const { key, csr } = await createCertificateRequest();
    const caller = identityOf(parseCertificate(certificate));
    assert(caller !== undefined);
    const request = create(RenewNodeCertificateRequestSchema, { csr });
    const answer = await this.ca.renewNodeCertificate(request, contextOf(caller));
    const renewed = answer.certificate;
    assert(renewed !== undefined);
    const { certificate: fresh = "", caCertificates = "" } = renewed;
    return { role: answer.role, identity: { certificate: fresh, key, caCertificates } };
  }

  /** As the node of a certificate. */
  async withdraw({ certificate }: TlsIdentity): Promise<void> {
    const caller = identityOf(parseCertificate(certificate));
    assert(caller !== undefined);
    await this.ca.withdrawNode(create(WithdrawNodeRequestSchema), contextOf(caller));
  }

  /** The node reports what it has, as its agent does. */
  async report(nodeId: string, { certificate, caCertificates }: TlsIdentity): Promise<void> {
    const [own, ...above] = [
      ...splitCertificates(certificate),
      ...splitCertificates(caCertificates),
    ];
    const issuer = above
      .map(parseCertificate)
      .find(({ publicKey }) => parseCertificate(own ?? "").verify(publicKey));
    assert(issuer !== undefined);
    const trustedRoots = splitCertificates(caCertificates).map(certificateDigest);
    const tls = create(NodeTlsInfoSchema, { trustedRoots, issuerKeyHash: publicKeyHash(issuer) });
    await this.change(nodeId, (node) => {
      const description = node.description ?? create(NodeDescriptionSchema);
      return { ...node, description: { ...description, tls } };
    });
  }

  /** As a user wishes by UpdateCluster. */
  async update(
    wish: Partial<Pick<CaConfig, "signingCaCert" | "signingCaKey" | "forceRotate">>,
  ): Promise<void> {
    const { cluster } = this;
    assert(cluster.spec?.ca !== undefined);
    const spec = { ...cluster.spec, ca: { ...cluster.spec.ca, ...wish } };
    await this.test.put("cluster", { ...cluster, spec });
  }

  async change(nodeId: string, change: (node: Node) => Node): Promise<void> {
    const node = this.test.store.get("node", nodeId);
    assert(node !== undefined);
    await this.test.put("node", change(node));
  }
}

export function contextOf(caller: CallContext["caller"]): CallContext {
  const { signal } = new AbortController();
  return { signal, metadata: new Map(), peer: "192.0.2.9:1", caller };
}
