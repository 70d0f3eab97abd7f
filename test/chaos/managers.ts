/** A client's ways to the managers of a cluster: over TLS with a user's certificate, a connection of its own to each. */
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import { Connection } from "#proto/grpc.ts";
import type { TlsIdentity } from "#proto/manager-messages.ts";
import { TlsIdentityHolder } from "#proto/tls/tls-identity-holder.ts";
import type { Control } from "./registers.ts";

/** Travels as JSON. */
export interface Target {
  /** HOST:PORT. */
  readonly addresses: readonly string[];
  readonly identity: TlsIdentity;
  readonly clusterId: string;
}

export class Managers implements Disposable {
  readonly addresses: readonly string[];
  readonly #target: Target;
  readonly #identity: TlsIdentityHolder;
  readonly #connections = new Map<string, Connection>();

  constructor(target: Target) {
    this.addresses = target.addresses;
    this.#target = target;
    this.#identity = new TlsIdentityHolder(target.identity);
  }

  control(address: string): Control {
    let connection = this.#connections.get(address);
    if (connection === undefined) {
      const { clusterId } = this.#target;
      const tls = { kind: "mutual", identity: this.#identity, clusterId } as const;
      connection = new Connection(address, { tls });
      this.#connections.set(address, connection);
    }
    return connection.service(ControlService);
  }

  /** The next call is on a new connection. */
  reconnect(address: string): void {
    this.#connections.get(address)?.[Symbol.dispose]();
    this.#connections.delete(address);
  }

  [Symbol.dispose](): void {
    for (const address of this.addresses) this.reconnect(address);
  }
}
