/**
 * Asks the host's own nameservers for what the cluster does not know. A query travels as it came, under an ID and from
 * a port of its own, so that an answer can only come from whom was asked; the answer goes back as it came. One
 * nameserver after the other, each with a deadline.
 */
import { createSocket } from "node:dgram";
import { connect, isIPv6 } from "node:net";
import { Fault } from "#proto/fault.ts";
import type { Clock, Random } from "#proto/ports.ts";
import { StreamReader, streamMessage } from "./stream.ts";

export interface ForwarderOptions {
  /** Asked for every query, so that a change of the host's configuration counts at once. */
  readonly nameservers: () => Promise<readonly string[]>;
  readonly port?: number;
  readonly deadlineMs?: number;
}

export interface ForwarderModules {
  readonly clock: Clock;
  readonly random: Random;
}

export type Transport = "udp" | "tcp";

const deadlineMsDefault = 2_000;

/** Each has a socket; more askers than this are told to come again. */
const outstandingMax = 256;

export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #exchanges = new Set<AbortController>();
  #outstanding = 0;
  #disposed = false;

  constructor(options: ForwarderOptions, { clock, random }: ForwarderModules) {
    this.#options = options;
    this.#clock = clock;
    this.#random = random;
  }

  /** The answer's bytes; "no-upstream" where there is nobody to ask, "failed" where nobody answered. */
  async forward(query: Buffer, transport: Transport): Promise<Buffer | "no-upstream" | "failed"> {
    if (this.#outstanding >= outstandingMax) return "failed";
    this.#outstanding += 1;
    try {
      const servers = await this.#options.nameservers();
      for (const server of servers) {
        if (this.#disposed) return "failed";
        const answer = await this.#ask(server, query, transport);
        if (answer !== undefined) return answer;
      }
      return servers.length === 0 ? "no-upstream" : "failed";
    } finally {
      this.#outstanding -= 1;
    }
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    for (const exchange of this.#exchanges) exchange.abort();
  }

  /** Undefined: no answer of this server, for whatever reason; the next one is asked. */
  async #ask(server: string, query: Buffer, transport: Transport): Promise<Buffer | undefined> {
    const id = this.#random.int(0x10000);
    const asked = withId(query, id);
    using deadline = this.#deadline();
    const exchange = { server, port: this.#options.port ?? 53, asked, signal: deadline.signal };
    try {
      const answer = await (transport === "udp" ? askDatagram(exchange) : askStream(exchange));
      return withId(answer, query.readUInt16BE(0));
    } catch {
      return undefined;
    }
  }

  #deadline(): { readonly signal: AbortSignal } & Disposable {
    const exchange = new AbortController();
    const ms = this.#options.deadlineMs ?? deadlineMsDefault;
    const timer = this.#clock.timer(ms, () => exchange.abort());
    this.#exchanges.add(exchange);
    return {
      signal: exchange.signal,
      [Symbol.dispose]: () => {
        timer[Symbol.dispose]();
        this.#exchanges.delete(exchange);
      },
    };
  }
}

interface Exchange {
  readonly server: string;
  readonly port: number;
  readonly asked: Buffer;
  readonly signal: AbortSignal;
}

const headerBytes = 12;

function askDatagram({ server, port, asked, signal }: Exchange): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const socket = createSocket(isIPv6(server) ? "udp6" : "udp4");
  signal.addEventListener("abort", () => reject(aborted()), { once: true });
  if (signal.aborted) reject(aborted());
  socket.on("error", reject);
  socket.on("message", (bytes) => {
    if (answers(bytes, asked)) resolve(bytes);
  });
  // Connected: the kernel drops what comes from anybody else, and reports a closed port at once.
  socket.on("connect", () => socket.send(asked));
  socket.connect(port, server);
  return promise.finally(() => socket.close());
}

function askStream({ server, port, asked, signal }: Exchange): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const socket = connect({ host: server, port, signal });
  const reader = new StreamReader();
  socket.on("error", reject);
  socket.on("close", () => reject(new Fault("unavailable", "the nameserver hung up")));
  socket.on("data", (chunk) => {
    const message = reader.push(chunk).find((bytes) => answers(bytes, asked));
    if (message !== undefined) resolve(message);
  });
  signal.addEventListener("abort", () => socket.destroy(), { once: true });
  socket.write(streamMessage(asked));
  return promise.finally(() => socket.destroy());
}

/** Same ID and a response; the port and the server were the kernel's to check. */
function answers(bytes: Buffer, asked: Buffer): boolean {
  return (
    bytes.length >= headerBytes &&
    bytes.readUInt16BE(0) === asked.readUInt16BE(0) &&
    ((bytes[2] ?? 0) & 0x80) !== 0
  );
}

function withId(bytes: Buffer, id: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt16BE(id, 0);
  return copy;
}

function aborted(): Fault {
  return new Fault("deadline-exceeded", "the nameserver did not answer in time");
}
