/**
 * Servers that talk to each other in a test's hand: nothing moves but by a call. Messages wait in order until they are
 * delivered, writes until the disk is told to finish, time until it is advanced. A server's timeouts are its own choice of
 * random numbers: the one with the lower ID stands first.
 */
import { Raft } from "../raft.ts";
import type {
  Entry,
  Event,
  Member,
  Message,
  Options,
  Output,
  Persist,
  ServerId,
} from "../contract.ts";

export const testOptions: Omit<Options, "id" | "random"> = {
  heartbeatMs: 100,
  electionMsMin: 300,
  electionMsMax: 3000,
  appendBytesMax: 1024,
  inflightMessagesMax: 4,
  inflightBytesMax: 4096,
  uncommittedBytesMax: 65_536,
  trailingEntries: 2,
  trailingBytes: 65_536,
};

/** A snapshot here is so many chunks of one byte. */
const snapshotChunks = 3;

export function voters(...ids: readonly ServerId[]): readonly Member[] {
  return ids.map((id) => ({ id, voter: true, context: `host${id}` }));
}

/** A log of such terms, from index 1 on. */
export function entriesOf(terms: readonly number[], firstIndex = 1): readonly Entry[] {
  return terms.map((term, at) => ({
    term,
    index: firstIndex + at,
    kind: "data",
    data: new TextEncoder().encode(`${firstIndex + at}`),
  }));
}

interface Server {
  raft: Raft;
  /** What a crash would leave. */
  disk: {
    hardState: { term: number; votedFor: ServerId | undefined };
    snapshot: {
      index: number;
      term: number;
      membership: { members: readonly Member[]; removed: readonly ServerId[] };
    };
    entries: Entry[];
  };
  /** Asked for, not durable. */
  writes: Persist[];
  wakeAtMs: number;
  applied: Entry[];
  outputs: Output[];
}

interface Beginning {
  readonly terms?: readonly number[];
  readonly term?: number;
  readonly votedFor?: ServerId;
}

interface GroupOptions {
  readonly options?: Partial<Options>;
  /** Of servers that do not begin with an empty log. */
  readonly beginnings?: Readonly<Record<ServerId, Beginning>>;
}

export class Group {
  nowMs = 0;
  /** False: writes wait for `finishWrites`. */
  readonly slowDisks = new Set<ServerId>();
  readonly cut = new Set<ServerId>();
  /** What the network loses. */
  loses: (message: Message) => boolean = () => false;
  messages: Message[] = [];
  readonly servers = new Map<ServerId, Server>();
  /** Called after each step. */
  observe: (id: ServerId, event: Event, output: Output) => void = () => undefined;
  readonly #options: Partial<Options>;

  constructor(members: readonly Member[], { options = {}, beginnings = {} }: GroupOptions = {}) {
    this.#options = options;
    for (const { id } of members) this.start(id, members, beginnings[id]);
  }

  /** A server that begins with the membership of the others, or with none, as one that joins. */
  start(id: ServerId, members: readonly Member[], beginning: Beginning = {}): void {
    const { terms = [], term = terms.at(-1) ?? 0, votedFor } = beginning;
    const disk: Server["disk"] = {
      hardState: { term, votedFor },
      snapshot: { index: 0, term: 0, membership: { members, removed: [] } },
      entries: [...entriesOf(terms)],
    };
    this.#boot(id, disk);
  }

  /** A crash: what is not durable is gone, and so are the server's messages that nobody received. */
  restart(id: ServerId): void {
    this.messages = this.messages.filter(({ from }) => from !== id);
    this.#boot(id, this.server(id).disk);
  }

  server(id: ServerId): Server {
    const server = this.servers.get(id);
    if (server === undefined) throw new Error(`There is no server ${id}`);
    return server;
  }

  raft(id: ServerId): Raft {
    return this.server(id).raft;
  }

  step(id: ServerId, event: Event): Output {
    const server = this.server(id);
    const output = server.raft.step(event, this.nowMs);
    server.outputs.push(output);
    server.wakeAtMs = output.wakeAtMs;
    for (const entry of output.apply) server.applied.push(entry);
    for (const message of output.send) this.messages.push(message);
    if (output.persist !== undefined) server.writes.push(output.persist);
    this.observe(id, event, output);
    if (!this.slowDisks.has(id)) this.finishWrites(id);
    return output;
  }

  finishWrites(id: ServerId): void {
    const server = this.server(id);
    const { writes } = server;
    server.writes = [];
    for (const write of writes) persist(server.disk, write);
    const last = writes.at(-1);
    if (last !== undefined) this.step(id, { kind: "persisted", number: last.number });
  }

  /** Delivers the messages that wait now, and not those that they cause. */
  deliver(which: (message: Message) => boolean = () => true): number {
    const waiting = this.messages.filter((message) => which(message));
    this.messages = this.messages.filter((message) => !waiting.includes(message));
    for (const message of waiting) this.#deliverOne(message);
    return waiting.length;
  }

  drop(which: (message: Message) => boolean = () => true): void {
    this.messages = this.messages.filter((message) => !which(message));
  }

  /** Delivers until nobody says anything more. */
  settle(): void {
    for (let rounds = 0; this.deliver() > 0; rounds += 1) {
      if (rounds > 1000) throw new Error("The servers talk without an end");
    }
  }

  /** Lets time pass: whoever is due wakes, and what is said arrives at once. */
  advance(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (;;) {
      this.settle();
      const [id, next] = [...this.servers].reduce((a, b) =>
        b[1].wakeAtMs < a[1].wakeAtMs ? b : a,
      );
      if (next.wakeAtMs > untilMs) break;
      this.nowMs = Math.max(this.nowMs, next.wakeAtMs);
      this.step(id, { kind: "wake" });
    }
    this.nowMs = untilMs;
  }

  /** Makes a server lead by letting its election timeout pass, and nobody else's. */
  elect(id: ServerId): void {
    for (let tries = 0; this.raft(id).standing.role !== "leader"; tries += 1) {
      if (tries > 10) throw new Error(`Server ${id} is not elected`);
      this.nowMs = Math.max(this.nowMs + testOptions.electionMsMax, this.server(id).wakeAtMs);
      this.step(id, { kind: "wake" });
      this.settle();
    }
  }

  propose(id: ServerId, ...words: readonly string[]): Output {
    const proposals = words.map((word, request) => ({
      request,
      data: new TextEncoder().encode(word),
    }));
    return this.step(id, { kind: "propose", proposals });
  }

  #boot(id: ServerId, disk: Server["disk"]): void {
    const random = (limit: number): number => Math.min(limit - 1, 10 * (id - 1));
    const options: Options = { ...testOptions, id, random, ...this.#options };
    const raft = new Raft(options, structuredClone(disk), this.nowMs);
    const server = { raft, disk, writes: [], wakeAtMs: this.nowMs, applied: [], outputs: [] };
    this.servers.set(id, server);
    this.step(id, { kind: "wake" });
  }

  #deliverOne(message: Message): void {
    if (this.cut.has(message.from) || this.cut.has(message.to)) return;
    if (!this.servers.has(message.to) || this.loses(message)) return;
    this.step(message.to, { kind: "message", message: filled(message) });
  }
}

/** As the driver does it, with the snapshot that `meta` names. */
function filled(message: Message): Message {
  if (message.kind !== "snapshot-chunk") return message;
  const last = message.chunk === snapshotChunks - 1;
  return { ...message, data: new Uint8Array([message.chunk]), last };
}

function persist(disk: Server["disk"], { install, hardState, entries }: Persist): void {
  if (install !== undefined) {
    disk.snapshot = install;
    disk.entries = [];
  }
  if (hardState !== undefined) disk.hardState = hardState;
  const [first] = entries;
  if (first === undefined) return;
  disk.entries = [...disk.entries.filter(({ index }) => index < first.index), ...entries];
}
