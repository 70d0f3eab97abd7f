/**
 * The nameserver of a host's tasks: one UDP and one TCP socket on every network's gateway address. The socket says which
 * network is asked, the asker's address (which the data plane vouches for) says which task asks. Names of the cluster
 * are answered here; everything else is for the task's own nameservers, or the host's where it has none.
 */
import { Fault } from "#proto/fault.ts";
import type { Network } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Log, Ports } from "#proto/ports.ts";
import { tailorAnswer } from "./answer.ts";
import { Forwarder, type Outcome } from "./forwarder.ts";
import { Listener, type Transport } from "./listener.ts";
import { encodeReply, parseMessage, type Query, streamBytesMax } from "./message.ts";
import { cost, QuestionRate } from "./question-rate.ts";
import { HostResolver, nameserversMax } from "./resolv-conf.ts";
import { noName, Responder, serverFailure } from "./responder.ts";
import { Shuffler } from "./shuffler.ts";
import { type Asker, type View, Zone, type ZoneState } from "./zone.ts";

export interface DnsServerOptions {
  readonly port?: number;
  /** Where the host's nameservers are named. */
  readonly resolvConf?: string;
  readonly upstreamPort?: number;
  /** How long each of them may take. */
  readonly upstreamDeadlineMs?: number;
}

export interface DnsServerModules extends Ports {
  /** Those that the task with this address has of its own. */
  readonly nameserversOf: (address: string) => readonly string[];
}

export class DnsServer {
  readonly #port: number;
  readonly #hostResolver: HostResolver;
  readonly #forwarder: Forwarder;
  readonly #shuffler: Shuffler;
  readonly #responder: Responder;
  readonly #rate: QuestionRate;
  readonly #modules: DnsServerModules;
  readonly #log: Log;
  /** Gateway address → its sockets. */
  readonly #listeners = new Map<string, Listener>();
  readonly #zone = new Zone();
  #applying: Promise<void> = Promise.resolve();

  constructor(options: DnsServerOptions, modules: DnsServerModules) {
    const { clock, random, log } = modules;
    this.#modules = modules;
    this.#port = options.port ?? 53;
    this.#hostResolver = new HostResolver(options.resolvConf, { clock, log });
    this.#shuffler = new Shuffler(random);
    this.#responder = new Responder(this.#shuffler);
    this.#rate = new QuestionRate({ clock });
    this.#log = log;
    const { upstreamPort: upstream, upstreamDeadlineMs: deadlineMs } = options;
    this.#forwarder = new Forwarder(
      {
        ...(upstream === undefined ? {} : { port: upstream }),
        ...(deadlineMs === undefined ? {} : { deadlineMs }),
      },
      { clock, random },
    );
  }

  /** The gateway addresses must be the host's already. Names count at once, sockets when this resolves. */
  apply(state: ZoneState): Promise<void> {
    this.#zone.update(state);
    const wanted = new Map(state.networks.flatMap(gatewaysOf));
    const applied = this.#applying.then(() => this.#listenOn(wanted));
    // The next one starts from what this one reached; its caller hears of the error.
    this.#applying = applied.catch(() => {});
    return applied;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#forwarder[Symbol.dispose]();
    await this.#applying;
    await this.#listenOn(new Map());
  }

  async #listenOn(wanted: ReadonlyMap<string, string>): Promise<void> {
    for (const [gateway, listener] of this.#listeners) {
      if (wanted.get(gateway) === listener.networkId) continue;
      this.#listeners.delete(gateway);
      await listener[Symbol.asyncDispose]();
    }
    const failures: unknown[] = [];
    for (const [gateway, networkId] of wanted) {
      if (this.#listeners.has(gateway)) continue;
      try {
        this.#listeners.set(gateway, await this.#listen(gateway, networkId));
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw Fault.wrap("Cannot serve DNS on every network", failures[0]);
  }

  #listen(address: string, networkId: string): Promise<Listener> {
    return Listener.open(
      { address, port: this.#port, networkId },
      {
        admit: (asker) => this.#rate.take(nameOf(asker, this.#zone.view(asker)), cost.connection),
        answer: (bytes, asker, transport) => this.#answer(bytes, asker, transport),
        clock: this.#modules.clock,
        log: this.#log,
      },
    );
  }

  /** What the asker's user named, as far as it may be asked; undefined: nothing, and the host's are to be asked. */
  #ownServers(view: View, address: string): readonly string[] | undefined {
    const own = this.#withoutSelf(this.#modules.nameserversOf(address));
    if (own.length > 0) return own.filter((server) => view.mayAsk(server)).slice(0, nameserversMax);
    return view.mayForward ? undefined : [];
  }

  /** For nobody would ever answer. */
  #withoutSelf(servers: readonly string[]): readonly string[] {
    return servers.filter((server) => !this.#listeners.has(server));
  }

  /** At once where possible: a promise for each of many answers costs more than the answer. */
  #answer(
    bytes: Buffer,
    asker: Asker,
    transport: Transport,
  ): Buffer | undefined | Promise<Buffer | undefined> {
    const view = this.#zone.view(asker);
    const name = nameOf(asker, view);
    // As if lost on its way: who waits for an answer asks less, and who is refused asks again at once.
    if (!this.#rate.take(name, cost.question)) return undefined;
    const query = parseMessage(bytes);
    if (query.kind === "ignored") return undefined;
    if (query.kind === "error") return query.reply;
    const bytesMax = transport === "udp" ? query.datagramBytesMax : streamBytesMax;
    const reply = this.#responder.reply(view, query, bytesMax);
    if (reply !== "forward") return encodeReply(query, reply, bytesMax);
    const servers = this.#ownServers(view, asker.address);
    const known = this.#forwarder.recall(
      query,
      servers ?? this.#withoutSelf(this.#hostResolver.known),
    );
    if (known !== undefined) return this.#passOn(known, query, bytesMax);
    if (!this.#rate.take(name, cost.forward)) return undefined;
    return this.#forward(query, name, servers).then((outcome) =>
      this.#passOn(outcome, query, bytesMax),
    );
  }

  async #forward(
    query: Query,
    asker: string,
    own: readonly string[] | undefined,
  ): Promise<Outcome> {
    const servers = own ?? this.#withoutSelf(await this.#hostResolver.nameservers());
    return await this.#forwarder.ask(query, { asker, servers });
  }

  #passOn(outcome: Outcome, query: Query, bytesMax: number): Buffer {
    if (outcome === "no-upstream") return encodeReply(query, noName, bytesMax);
    if (outcome === "failed") return encodeReply(query, serverFailure, bytesMax);
    const { answer, ageSeconds } = outcome;
    return tailorAnswer(answer, query, { ageSeconds, bytesMax, shuffler: this.#shuffler });
  }
}

/** The same on whichever network and by whichever family a task asks, where the managers know it. */
function nameOf({ networkId, address }: Asker, { taskId }: View): string {
  return taskId === "" ? `${networkId} ${address}` : taskId;
}

/** One of each family at most. */
function gatewaysOf({ id, ipam }: Network): readonly (readonly [string, string])[] {
  const gateways = (ipam?.configs ?? []).map(({ gateway }) => gateway);
  return gateways.filter((gateway) => gateway !== "").map((gateway) => [gateway, id] as const);
}
