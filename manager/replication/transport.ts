/** The ways to all other servers: one for each member, and one for whoever else is heard of and says where it is. */
import type { RaftService } from "#proto/gen/swarm/v1/manager_pb.ts";
import type { Client } from "#proto/grpc.ts";
import type { Log } from "#proto/ports.ts";
import type { Membership, Message, ServerId } from "../raft/contract.ts";
import { placeOf } from "./member.ts";
import { Peer, type PeerModules } from "./peer.ts";

/** Members that a membership which this server has slept through has added. */
const strangersMax = 16;

export class Transport implements AsyncDisposable {
  readonly #self: ServerId;
  readonly #modules: PeerModules & { readonly log: Log };
  readonly #peers = new Map<ServerId, Peer>();
  readonly #strangers = new Set<ServerId>();
  /** Members that say that they are elsewhere than the log says. */
  readonly #moved = new Map<ServerId, string>();
  readonly #closing = new Set<Promise<void>>();
  #memberships: readonly Membership[] = [];
  #closed = false;

  constructor(self: ServerId, modules: PeerModules & { readonly log: Log }) {
    this.#self = self;
    this.#modules = modules;
  }

  /** The members of any of these are spoken to. Cheap where nothing has changed. */
  follow(memberships: readonly Membership[]): void {
    const same = memberships.every((membership, at) => membership === this.#memberships[at]);
    if (same || this.#closed) return;
    this.#memberships = memberships;
    const addresses = new Map<ServerId, string>();
    const removed = new Set(memberships.flatMap((membership) => membership.removed));
    for (const { members } of memberships) {
      for (const member of members) addresses.set(member.id, placeOf(member).address);
    }
    addresses.delete(this.#self);
    for (const [id, peer] of this.#peers) {
      if (addresses.has(id)) this.#strangers.delete(id);
      else if (removed.has(id) || !this.#strangers.has(id)) {
        this.#strangers.delete(id);
        this.#moved.delete(id);
        this.#drop(id, peer);
      }
    }
    for (const [id, address] of addresses) {
      if (this.#moved.get(id) === address) this.#moved.delete(id);
      if (!this.#peers.has(id)) this.#add(id, this.#moved.get(id) ?? address);
    }
  }

  send(messages: readonly Message[]): void {
    for (const message of messages) this.#peers.get(message.to)?.send(message);
  }

  /** A message of this server has come, which says that it is reached there. */
  heard(server: ServerId, address: string): void {
    const known = this.#peers.get(server);
    const elsewhere = address !== "" && known?.options.address !== address;
    if (elsewhere && !this.#closed) this.#meet(server, address, known);
    this.#peers.get(server)?.heard();
  }

  client(server: ServerId): Client<typeof RaftService> | undefined {
    return this.#peers.get(server)?.client;
  }

  get moved(): ReadonlyMap<ServerId, string> {
    return this.#moved;
  }

  reachable(server: ServerId): boolean {
    return this.#peers.get(server)?.reachable ?? false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    for (const [id, peer] of this.#peers) this.#drop(id, peer);
    await Promise.all(this.#closing);
  }

  /** A stranger, or a member that has moved. */
  #meet(id: ServerId, address: string, known: Peer | undefined): void {
    if (known === undefined) {
      if (this.#strangers.size >= strangersMax) return;
      this.#strangers.add(id);
    } else {
      this.#moved.set(id, address);
      this.#drop(id, known);
    }
    this.#add(id, address);
  }

  #add(id: ServerId, address: string): void {
    this.#peers.set(id, new Peer({ id, address }, this.#modules));
  }

  #drop(id: ServerId, peer: Peer): void {
    this.#peers.delete(id);
    const closed = peer[Symbol.asyncDispose]().catch((thrown: unknown) => {
      this.#modules.log.warn("A connection to a manager did not close", { error: String(thrown) });
    });
    this.#closing.add(closed);
    void closed.finally(() => this.#closing.delete(closed));
  }
}
