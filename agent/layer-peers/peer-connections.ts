/** Connections to the engines of other nodes: shared by those who read there, and kept for a moment after the last one. */
import { LayerService } from "#proto/gen/swarm/v1/engine_pb.ts";
import { type Client, Connection } from "#proto/grpc.ts";
import type { Clock } from "#proto/ports.ts";
import type { TlsIdentityHolder } from "#proto/tls/tls-identity-holder.ts";
import type { Peer } from "./plan.ts";

/** The next layer comes soon. */
const lingerMs = 5_000;

interface Open {
  readonly connection: Connection;
  readonly client: Client<typeof LayerService>;
  users: number;
  closing: Disposable | undefined;
}

export interface PeerClient extends Disposable {
  readonly client: Client<typeof LayerService>;
}

export class PeerConnections implements Disposable {
  readonly #tls: { readonly identity: TlsIdentityHolder; readonly clusterId: string };
  readonly #clock: Clock;
  readonly #open = new Map<string, Open>();

  constructor(
    tls: { readonly identity: TlsIdentityHolder; readonly clusterId: string },
    { clock }: { readonly clock: Clock },
  ) {
    this.#tls = tls;
    this.#clock = clock;
  }

  [Symbol.dispose](): void {
    for (const key of this.#open.keys()) this.#close(key);
  }

  /** Whoever answers at the address must be that node. */
  use({ nodeId, address }: Pick<Peer, "nodeId" | "address">): PeerClient {
    const key = `${nodeId} ${address}`;
    const open = this.#open.get(key) ?? this.#connect(key, nodeId, address);
    open.users += 1;
    open.closing?.[Symbol.dispose]();
    open.closing = undefined;
    return {
      client: open.client,
      [Symbol.dispose]: () => {
        open.users -= 1;
        if (open.users > 0) return;
        open.closing = this.#clock.timer(lingerMs, () => this.#close(key));
      },
    };
  }

  #connect(key: string, nodeId: string, address: string): Open {
    const connection = new Connection(address, { tls: { kind: "mutual", ...this.#tls, nodeId } });
    const client = connection.service(LayerService);
    const open: Open = { connection, client, users: 0, closing: undefined };
    this.#open.set(key, open);
    return open;
  }

  #close(key: string): void {
    const open = this.#open.get(key);
    this.#open.delete(key);
    open?.closing?.[Symbol.dispose]();
    open?.connection[Symbol.dispose]();
  }
}
