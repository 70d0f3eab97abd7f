/** A new certificate for a node that has one, from any manager that gives it. The key is new each time. */
import { Fault } from "#proto/fault.ts";
import { NodeCaService } from "#proto/gen/swarm/v1/node_pb.ts";
import { Connection } from "#proto/grpc.ts";
import type { TlsIdentity } from "#proto/manager-messages.ts";
import {
  type CertificateRequest,
  createCertificateRequest,
} from "#proto/tls/certificate-request.ts";
import type { TlsIdentityHolder } from "#proto/tls/tls-identity-holder.ts";
import { issuedIdentity } from "./issued-identity.ts";

const answerMs = 15_000;

export interface RenewOptions {
  readonly identity: TlsIdentityHolder;
  readonly nodeId: string;
  readonly clusterId: string;
  /** host:port, tried in order. */
  readonly managers: readonly string[];
}

export async function renewCertificate(
  options: RenewOptions,
  signal: AbortSignal,
): Promise<TlsIdentity> {
  const request = await createCertificateRequest();
  let last: Fault | undefined;
  for (const manager of options.managers) {
    try {
      return await askManager(manager, request, { ...options, signal });
    } catch (thrown) {
      signal.throwIfAborted();
      last = Fault.wrap(`manager ${manager}`, thrown);
    }
  }
  throw last ?? new Fault("unavailable", "no manager is known");
}

async function askManager(
  manager: string,
  { key, csr }: CertificateRequest,
  { identity, nodeId, clusterId, signal }: RenewOptions & { readonly signal: AbortSignal },
): Promise<TlsIdentity> {
  using connection = new Connection(manager, { tls: { kind: "mutual", identity, clusterId } });
  const { certificate } = await connection
    .service(NodeCaService)
    .renewNodeCertificate({ csr }, { signal, deadlineMs: answerMs });
  if (certificate === undefined) throw new Fault("internal", "it issued no certificate");
  return issuedIdentity(key, certificate, { nodeId, clusterId });
}
