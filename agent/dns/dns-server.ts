/**
 * The nameserver of a host's tasks: one UDP and one TCP socket on every network's gateway address. The socket says which
 * network is asked, the asker's address (which the data plane vouches for) says which task asks. Names of the cluster
 * are answered here; everything else is the host's nameservers'.
 */
import { readFile } from "node:fs/promises";
import { Fault } from "#proto/fault.ts";
import type { Network } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Log, Ports } from "#proto/ports.ts";
import { Forwarder, type Transport } from "./forwarder.ts";
import { Listener } from "./listener.ts";
import { encodeReply, parseMessage, streamBytesMax } from "./message.ts";
import { parseNameservers } from "./resolv-conf.ts";
import { noName, Responder, serverFailure } from "./responder.ts";
import { type Asker, Zone, type ZoneState } from "./zone.ts";

export interface DnsServerOptions {
  readonly port?: number;
  /** Where the host's nameservers are named. */
  readonly resolvConf?: string;
  readonly upstreamPort?: number;
}

export class DnsServer {
  readonly #port: number;
  readonly #resolvConf: string;
  readonly #forwarder: Forwarder;
  readonly #responder: Responder;
  readonly #log: Log;
  /** Gateway address → its sockets. */
  readonly #listeners = new Map<string, Listener>();
  readonly #zone = new Zone();
  #applying: Promise<void> = Promise.resolve();

  constructor(options: DnsServerOptions, { clock, random, log }: Ports) {
    this.#port = options.port ?? 53;
    this.#resolvConf = options.resolvConf ?? "/etc/resolv.conf";
    this.#responder = new Responder(random);
    this.#log = log;
    this.#forwarder = new Forwarder(
      {
        nameservers: () => this.#nameservers(),
        ...(options.upstreamPort === undefined ? {} : { port: options.upstreamPort }),
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
        answer: (bytes, asker, transport) => this.#answer(bytes, asker, transport),
        log: this.#log,
      },
    );
  }

  async #nameservers(): Promise<readonly string[]> {
    const text = await readFile(this.#resolvConf, "utf8").catch((error: unknown) => {
      this.#log.debug("no nameservers of the host", { reason: Fault.from(error).message });
      return "";
    });
    return parseNameservers(text).filter((server) => !this.#listeners.has(server));
  }

  async #answer(bytes: Buffer, asker: Asker, transport: Transport): Promise<Buffer | undefined> {
    const received = parseMessage(bytes);
    if (received.kind === "ignored") return undefined;
    if (received.kind === "error") return received.reply;
    const bytesMax = transport === "udp" ? received.datagramBytesMax : streamBytesMax;
    const view = this.#zone.view(asker);
    const own = this.#responder.reply(view, received, bytesMax);
    if (own !== "forward") return encodeReply(received, own, bytesMax);
    const answer = await this.#forwarder.forward(bytes, transport);
    if (answer === "no-upstream") return encodeReply(received, noName, bytesMax);
    if (answer === "failed") return encodeReply(received, serverFailure, bytesMax);
    return answer;
  }
}

/** One of each family at most. */
function gatewaysOf({ id, ipam }: Network): readonly (readonly [string, string])[] {
  const gateways = (ipam?.configs ?? []).map(({ gateway }) => gateway);
  return gateways.filter((gateway) => gateway !== "").map((gateway) => [gateway, id] as const);
}
