/** A user's certificate from a cluster of ours, as `swarmctl context create` gets one. */
import type { Host } from "#lab/host.ts";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import type { TlsIdentity } from "#proto/manager-messages.ts";
import { createCertificateRequest } from "#proto/tls/certificate-request.ts";

export interface UserIdentity {
  readonly identity: TlsIdentity;
  readonly clusterId: string;
}

export async function newUserIdentity(manager: Host): Promise<UserIdentity> {
  const { key, csr } = await createCertificateRequest();
  using connection = manager.connect("manager");
  const control = connection.service(ControlService);
  const issued = await control.issueUserCertificate({ name: "bench", csr });
  const { certificate, caCertificates, clusterId } = issued;
  return { identity: { certificate, key, caCertificates }, clusterId };
}
