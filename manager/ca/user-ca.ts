/** Certificates for people, whose swarmctl speaks to managers from another machine. */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type IssueUserCertificateRequest,
  type IssueUserCertificateResponse,
  IssueUserCertificateResponseSchema,
} from "#proto/gen/swarm/v1/control_pb.ts";
import type { Clock } from "#proto/ports.ts";
import { isUserName } from "#proto/tls/certificate.ts";
import { clusterOf } from "../cluster.ts";
import type { Store } from "../store/store.ts";
import { requestedKey } from "./certificate-request.ts";
import { issueCertificate } from "./issuer.ts";

/** For ControlService.IssueUserCertificate, whose rule says who may ask. */
export async function issueUserCertificate(
  request: IssueUserCertificateRequest,
  { store, clock }: { readonly store: Store; readonly clock: Clock },
): Promise<IssueUserCertificateResponse> {
  const { name } = request;
  if (!isUserName(name)) {
    const message = `name "${name}" is not a user's name: use up to 64 letters, digits, "_", ".", "@" and "-"`;
    throw new Fault("invalid-argument", message);
  }
  const key = await requestedKey(request.csr);
  const cluster = clusterOf(store);
  if (cluster === undefined) throw new Fault("unavailable", "there is no cluster here yet");
  const order = { key, subject: { kind: "user", name } as const, nowMs: clock.now() };
  return create(IssueUserCertificateResponseSchema, {
    ...(await issueCertificate(cluster, order)),
    clusterId: cluster.id,
    managers: managerAddresses(store),
  });
}

function managerAddresses(store: Store): string[] {
  return store.list("node").flatMap(({ managerStatus }) => {
    return managerStatus === undefined ? [] : [managerStatus.address];
  });
}
