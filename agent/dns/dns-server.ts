/**
 * The nameserver of a host's tasks: one UDP and one TCP socket on every network's gateway address. The socket says which
 * network is asked, the asker's address (which the data plane vouches for) says which task asks. Names of the cluster
 * are answered here; everything else is the host's nameservers'.
 */
import { readFile } from "node:fs/promises";
import type { Answer } from "dns-packet";
import { Fault } from "#proto/fault.ts";
import { IpFamily, type Network } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Log, Ports, Random } from "#proto/ports.ts";
import { Forwarder, type Transport } from "./forwarder.ts";
import { Listener } from "./listener.ts";
import {
  encodeReply,
  parseMessage,
  type Query,
  type Reply,
  responseCode,
  streamBytesMax,
} from "./message.ts";
import { parseNameservers } from "./resolv-conf.ts";
import { type Asker, buildZone, findName, findPointer, type Zone, type ZoneState } from "./zone.ts";

export interface DnsServerOptions {
  readonly port?: number;
  /** Where the host's nameservers are named. */
  readonly resolvConf?: string;
  readonly upstreamPort?: number;
}

/** Short: a task that left must not be asked for long. */
const ttlSeconds = 5;

const noName: Reply = { code: responseCode.noSuchName, records: [] };
const noRecords: Reply = { code: responseCode.noError, records: [] };
const serverFailure: Reply = { code: responseCode.serverFailure, records: [] };

export class DnsServer {
  readonly #port: number;
  readonly #resolvConf: string;
  readonly #forwarder: Forwarder;
  readonly #random: Random;
  readonly #log: Log;
  /** Gateway address → its sockets. */
  readonly #listeners = new Map<string, Listener>();
  #zone: Zone = buildZone({ networks: [], endpoints: [], services: [] });
  #applying: Promise<void> = Promise.resolve();

  constructor(options: DnsServerOptions, { clock, random, log }: Ports) {
    this.#port = options.port ?? 53;
    this.#resolvConf = options.resolvConf ?? "/etc/resolv.conf";
    this.#random = random;
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
    this.#zone = buildZone(state);
    const wanted = new Map(state.networks.flatMap((network) => gatewayOf(network)));
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
    const own = this.#ownReply(received, asker);
    if (own !== "forward") return encodeReply(received, own, bytesMax);
    const answer = await this.#forwarder.forward(bytes, transport);
    if (answer === "no-upstream") return encodeReply(received, noName, bytesMax);
    if (answer === "failed") return encodeReply(received, serverFailure, bytesMax);
    return answer;
  }

  #ownReply(query: Query, asker: Asker): Reply | "forward" {
    if (query.type === "PTR") {
      const target = findPointer(this.#zone, asker, query.name);
      if (target !== undefined) return found([pointer(query.name, target)]);
    }
    const result = findName(this.#zone, asker, query.name);
    if (result.kind === "unknown") return result.mayForward ? "forward" : noName;
    if (query.type !== "A") return noRecords;
    return found(this.#shuffled(result.addresses).map((data) => address(query.name, data)));
  }

  /** Fisher–Yates: clients that take the first answer spread evenly. */
  #shuffled(addresses: readonly string[]): readonly string[] {
    const shuffled: string[] = [];
    for (const [index, item] of addresses.entries()) {
      const place = this.#random.int(index + 1);
      const displaced = shuffled[place];
      shuffled[place] = item;
      if (displaced !== undefined) shuffled[index] = displaced;
    }
    return shuffled;
  }
}

function found(records: readonly Answer[]): Reply {
  return { code: responseCode.noError, records };
}

function address(name: string, data: string): Answer {
  return { type: "A", name, ttl: ttlSeconds, class: "IN", data };
}

function pointer(name: string, data: string): Answer {
  return { type: "PTR", name, ttl: ttlSeconds, class: "IN", data };
}

function gatewayOf({ id, ipam }: Network): readonly (readonly [string, string])[] {
  const config = ipam?.configs.find(({ family }) => family !== IpFamily.IPV6);
  return config === undefined || config.gateway === "" ? [] : [[config.gateway, id]];
}
