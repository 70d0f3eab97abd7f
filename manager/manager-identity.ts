/** This manager's certificate, as swarmd renews it. A founder has none before its log is open: its own log's cluster issues it. */
import { Fault } from "#proto/fault.ts";
import { Connection } from "#proto/grpc.ts";
import type { TlsIdentity } from "#proto/manager-messages.ts";
import { identityOf, parseCertificate } from "#proto/tls/certificate.ts";
import { TlsIdentityHolder } from "#proto/tls/tls-identity-holder.ts";
import type { ServerTls } from "#proto/tls/tls-listener.ts";

export class ManagerIdentity {
  #holder: TlsIdentityHolder | undefined;

  set(identity: TlsIdentity): void {
    if (this.#holder === undefined) this.#holder = new TlsIdentityHolder(identity);
    else this.#holder.replace(identity);
  }

  get nodeId(): string {
    return this.#subject.nodeId;
  }

  get tls(): ServerTls {
    return { identity: this.#required, clusterId: this.#subject.clusterId };
  }

  /** To another manager; to no other than this node, where one is named. */
  connect(address: string, nodeId?: string): Connection {
    const named = nodeId === undefined ? {} : { nodeId };
    return new Connection(address, { tls: { kind: "mutual", ...this.tls, ...named } });
  }

  get #required(): TlsIdentityHolder {
    if (this.#holder !== undefined) return this.#holder;
    throw new Fault("failed-precondition", "this manager has no certificate");
  }

  get #subject() {
    const subject = identityOf(parseCertificate(this.#required.current.certificate));
    if (subject?.kind === "node" && subject.role === "manager") return subject;
    throw new Fault("failed-precondition", "this node's certificate is not a manager's");
  }
}
