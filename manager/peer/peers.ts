/** The other managers, to call them: one connection to each address, for as long as the address is a manager's. */
import { Fault } from "#proto/fault.ts";
import { PeerService } from "#proto/gen/swarm/v1/manager_pb.ts";
import type { Client, Connection } from "#proto/grpc.ts";
import type { Replication } from "../replication/replication.ts";
import type { Store } from "../store/store.ts";

export interface PeersModules {
  readonly store: Store;
  readonly replication: Pick<Replication, "leader">;
  readonly connect: (address: string) => Connection;
}

export class Peers implements Disposable {
  readonly #modules: PeersModules;
  readonly #connections = new Map<string, Connection>();
  readonly #watch: Disposable;

  constructor(modules: PeersModules) {
    this.#modules = modules;
    this.#watch = modules.store.watch(({ changes }) => {
      for (const change of changes) {
        const address = change.kind === "node" ? change.before?.managerStatus?.address : undefined;
        const same = change.kind === "node" && change.after?.managerStatus?.address === address;
        if (address !== undefined && !same) this.#drop(address);
      }
    });
  }

  /** Whoever leads now; "unavailable" when nobody is known to. */
  leader(): Client<typeof PeerService> {
    const { leader } = this.#modules.replication;
    if (leader === undefined) throw new Fault("unavailable", "no manager leads now");
    return this.#at(leader.address);
  }

  /** The manager that is this node. */
  manager(nodeId: string): Client<typeof PeerService> {
    const address = this.#modules.store.get("node", nodeId)?.managerStatus?.address;
    if (address) return this.#at(address);
    throw new Fault("unavailable", `node "${nodeId}" is no manager any more`);
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
    for (const address of this.#connections.keys()) this.#drop(address);
  }

  #at(address: string): Client<typeof PeerService> {
    const connection = this.#connections.get(address) ?? this.#modules.connect(address);
    this.#connections.set(address, connection);
    return connection.service(PeerService);
  }

  #drop(address: string): void {
    this.#connections.get(address)?.[Symbol.dispose]();
    this.#connections.delete(address);
  }
}
