/**
 * How a host becomes a node: it fetches a manager's root certificate from whoever answers, believes it only when the join
 * token names it, and then, talking to a manager that the root vouches for, hands in the token and a request for a
 * certificate. The key stays here.
 */
import { describeNode } from "#agent/node-description.ts";
import { Fault } from "#proto/fault.ts";
import {
  type IssueNodeCertificateResponse,
  type JoinClusterRequest,
  NodeCaService,
} from "#proto/gen/swarm/v1/node_pb.ts";
import { NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import { Connection } from "#proto/grpc.ts";
import { newId } from "#proto/ids.ts";
import { parseJoinToken } from "#proto/join-token.ts";
import type { TlsIdentity } from "#proto/manager-messages.ts";
import type { Ports, Random } from "#proto/ports.ts";
import { timestampFromMs } from "#proto/time.ts";
import { certificateDigest, parseCertificate } from "#proto/tls/certificate.ts";
import {
  type CertificateRequest,
  createCertificateRequest,
} from "#proto/tls/certificate-request.ts";
import { issuedIdentity } from "./issued-identity.ts";
import { reachManager } from "./reach-manager.ts";
import type { Role } from "./identity.ts";

/** How long a manager that is there may take to answer: on a slow host its first connections take seconds. */
const answerMs = 15_000;

export interface Admission {
  readonly nodeId: string;
  readonly clusterId: string;
  readonly number: number;
  readonly role: Role;
  readonly tls: TlsIdentity;
}

/** The same in all tries with one token: a lost answer, or a failure after it, makes no second node. */
export interface JoinAttempt {
  readonly token: string;
  readonly requestId: string;
  readonly request: CertificateRequest;
}

export async function newJoinAttempt(token: string, random: Random): Promise<JoinAttempt> {
  parseJoinToken(token);
  return { token, requestId: newId(random), request: await createCertificateRequest() };
}

export interface JoinOptions extends Pick<JoinClusterRequest, "availability"> {
  /** host:port, tried in order. */
  readonly managers: readonly string[];
  readonly attempt: JoinAttempt;
  readonly dataPathAddress: string;
}

/** Asks one manager after the other; a refusal is final, silence leads to the next. */
export async function joinCluster(
  options: JoinOptions,
  { clock }: Pick<Ports, "clock">,
): Promise<Admission> {
  let silence: Fault | undefined;
  for (const manager of options.managers) {
    try {
      await reachManager(manager, clock);
      const issued = await askManager(manager, options, clock.now());
      return admissionOf(issued, options.attempt.request.key);
    } catch (thrown) {
      const fault = Fault.from(thrown);
      if (fault.code !== "unavailable" && fault.code !== "deadline-exceeded") throw fault;
      silence = new Fault(fault.code, silenceWords(manager, fault), { cause: fault });
    }
  }
  throw silence ?? new Fault("unavailable", "no manager answered");
}

async function askManager(
  manager: string,
  { attempt, availability, dataPathAddress }: JoinOptions,
  nowMs: number,
): Promise<IssueNodeCertificateResponse> {
  const { rootDigest } = parseJoinToken(attempt.token);
  const caCertificates = await fetchRoot(manager, rootDigest);
  using connection = new Connection(manager, { tls: { kind: "server-only", caCertificates } });
  return await connection.service(NodeCaService).issueNodeCertificate(
    {
      token: attempt.token,
      csr: attempt.request.csr,
      description: describeNode({ dataPathAddress }),
      availability,
      requestId: attempt.requestId,
      now: timestampFromMs(nowMs),
    },
    { deadlineMs: answerMs },
  );
}

/** Whoever answers may be anybody: what counts is that the token names this root. */
async function fetchRoot(manager: string, rootDigest: string): Promise<string> {
  using connection = new Connection(manager, { tls: { kind: "unverified" } });
  const { caCertificate } = await connection
    .service(NodeCaService)
    .getRootCertificate({}, { deadlineMs: answerMs });
  const root = firstCertificate(caCertificate, manager);
  // Of what came, this alone is what the token names: a second certificate beside it would be trusted, too.
  if (certificateDigest(root) === rootDigest) return root;
  throw new Fault(
    "unauthenticated",
    `the join token is not of the cluster that answers at ${manager}: it is another cluster's, or its root certificate was rotated since; print a new one with "swarmctl cluster join-token" on a manager of the cluster that is meant`,
  );
}

function firstCertificate(pem: string, manager: string): string {
  try {
    return parseCertificate(pem).toString();
  } catch (thrown) {
    throw Fault.wrap(`Cannot use the root certificate that ${manager} shows`, thrown);
  }
}

/** What came to nothing: no connection, or one that TLS found to be wrong. */
function silenceWords(manager: string, fault: Fault): string {
  if (/^Cannot (trust|agree)/.test(fault.message)) return `manager ${manager}: ${fault.message}`;
  return `manager ${manager} cannot be reached: check the address, that swarmd runs there as a manager, and that no firewall closes the port (${fault.message})`;
}

function admissionOf(response: IssueNodeCertificateResponse, key: string): Admission {
  const { nodeId, clusterId, number, role, certificate } = response;
  if (certificate === undefined) throw new Fault("internal", "the manager issued no certificate");
  return {
    nodeId,
    clusterId,
    number,
    role: role === NodeRole.MANAGER ? "manager" : "worker",
    tls: issuedIdentity(key, certificate, { nodeId, clusterId }),
  };
}
