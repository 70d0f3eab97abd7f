/**
 * The way to one other server: a connection, and on it one call that carries this server's messages. Ended for whatever
 * reason, it is made anew, at first soon, then less often, until the peer is heard of.
 *
 * A way that was asked something and brings no answer for a second is made anew too: after a cut, TCP repeats itself the
 * later the longer the cut took, and a new connection is there at once.
 */
import { setImmediate as turn } from "node:timers/promises";
import { Fault } from "#proto/fault.ts";
import { RaftService } from "#proto/gen/swarm/v1/manager_pb.ts";
import type { Client, Connection } from "#proto/grpc.ts";
import type { Clock } from "#proto/ports.ts";
import type { Message, ServerId } from "../raft/contract.ts";
import { encodeMessage } from "./codec.ts";
import { contactMs } from "./limits.ts";
import { Outbox } from "./outbox.ts";

const pauseMsMin = 100;
const pauseMsMax = 2_000;
const silenceMsMax = 1_000;

export interface PeerOptions {
  readonly id: ServerId;
  /** HOST:PORT. */
  readonly address: string;
}

/** What all ways of a server have in common. */
export interface PeerModules {
  readonly group: string;
  /** Where this server is reached. */
  readonly ownAddress: string;
  readonly connect: (address: string) => Connection;
  readonly readChunk: (
    index: number,
    chunk: number,
  ) => Promise<{ readonly data: Uint8Array; readonly last: boolean } | undefined>;
  readonly clock: Clock;
  /** A call on which the server was heard has ended. */
  readonly onDisconnected: (server: ServerId) => void;
  readonly onSnapshotGone: (server: ServerId) => void;
  /** Why a call to the server ended. */
  readonly onEnded: (fault: Fault) => void;
}

const silent = new Fault("unavailable", "the other manager was silent");

export class Peer implements AsyncDisposable {
  readonly options: PeerOptions;
  readonly #modules: PeerModules;
  readonly #outbox = new Outbox();
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #client: Client<typeof RaftService> | undefined;
  #call = new AbortController();
  #heardMs: number | undefined;
  /** Whether it was heard since the call began. */
  #heardInCall = false;
  /** Since when something was sent and nothing heard. */
  #askedMs: number | undefined;
  #onHeard: (() => void) | undefined;

  constructor(options: PeerOptions, modules: PeerModules) {
    this.options = options;
    this.#modules = modules;
    this.#running = this.#run();
  }

  /** For calls of its own; may be on a connection that is about to be made anew. */
  get client(): Client<typeof RaftService> | undefined {
    return this.#client;
  }

  /** Whether it was heard of lately. */
  get reachable(): boolean {
    return this.#heardMs !== undefined && this.#nowMs() - this.#heardMs < contactMs;
  }

  send(message: Message): void {
    this.#outbox.add(message);
    const nowMs = this.#nowMs();
    this.#askedMs ??= nowMs;
    if (nowMs - this.#askedMs > silenceMsMax) this.#call.abort(silent);
  }

  /** A message of this server has come. */
  heard(): void {
    this.#heardMs = this.#nowMs();
    this.#heardInCall = true;
    this.#askedMs = undefined;
    this.#onHeard?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Fault("canceled", "the connection is closed"));
    this.#call.abort(this.#stop.signal.reason);
    await this.#running;
  }

  #nowMs(): number {
    return this.#modules.clock.monotonic();
  }

  async #run(): Promise<void> {
    let pauseMs = pauseMsMin;
    while (!this.#stop.signal.aborted) {
      const fault = await this.#connect();
      if (this.#stop.signal.aborted) return;
      if (fault !== silent) this.#modules.onEnded(fault);
      if (this.#heardInCall) pauseMs = pauseMsMin;
      if (this.#heardInCall && fault !== silent) this.#modules.onDisconnected(this.options.id);
      // Silence has been waited for already.
      if (fault === silent) continue;
      await this.#pause(pauseMs);
      pauseMs = Math.min(2 * pauseMs, pauseMsMax);
    }
  }

  /** Until the call ends; says why. */
  async #connect(): Promise<Fault> {
    const { connect } = this.#modules;
    this.#call = new AbortController();
    if (this.#stop.signal.aborted) this.#call.abort(this.#stop.signal.reason);
    const { signal } = this.#call;
    this.#heardInCall = false;
    this.#askedMs = undefined;
    try {
      // Throws where this node has no manager's certificate any more.
      using connection = connect(this.options.address);
      this.#client = connection.service(RaftService);
      await this.#client.sendMessages(this.#requests(signal), { signal });
      return new Fault("unavailable", "the other manager ended the call");
    } catch (thrown) {
      return signal.aborted ? Fault.from(signal.reason) : Fault.from(thrown);
    } finally {
      // The source of requests waits for this.
      this.#call.abort(silent);
      this.#client = undefined;
      // Lost with the call. What is said from now on, perhaps in answer to a server that is there again, goes with the next.
      this.#outbox.clear();
    }
  }

  async *#requests(signal: AbortSignal) {
    const { group, ownAddress } = this.#modules;
    while (!signal.aborted) {
      await this.#outbox.arrival(signal);
      // What this turn of the event loop has to say goes together.
      await turn();
      const messages: Message[] = [];
      for (const message of this.#outbox.take()) {
        const whole = await this.#fill(message);
        if (whole !== undefined) messages.push(whole);
      }
      if (messages.length === 0 || signal.aborted) continue;
      yield { group, address: ownAddress, messages: messages.map(encodeMessage) };
    }
  }

  /** A chunk's data is read only now. */
  async #fill(message: Message): Promise<Message | undefined> {
    if (message.kind !== "snapshot-chunk") return message;
    const found = await this.#modules.readChunk(message.meta.index, message.chunk);
    if (found !== undefined) return { ...message, ...found };
    this.#modules.onSnapshotGone(this.options.id);
    return undefined;
  }

  /** The least pause passes in any case, the rest only until the peer is heard of. */
  async #pause(ms: number): Promise<void> {
    const { clock } = this.#modules;
    const { signal } = this.#stop;
    await clock.sleep(pauseMsMin, signal).catch(() => undefined);
    if (ms <= pauseMsMin || this.#heardInCall || signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onHeard = resolve;
    const onAbort = () => resolve();
    signal.addEventListener("abort", onAbort, { once: true });
    using _timer = clock.timer(ms - pauseMsMin, resolve);
    await promise;
    signal.removeEventListener("abort", onAbort);
    this.#onHeard = undefined;
  }
}
