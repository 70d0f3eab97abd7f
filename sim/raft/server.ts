/**
 * One server as the driver makes it around the core: disk, clock, state machine, and calls between drivers. It may crash,
 * which leaves its disk, and stand still, after which all that waited comes at once.
 */
import type { Event, Message, Output, ServerId } from "#manager/raft/contract.ts";
import { Applier } from "./applier.ts";
import type { Life } from "./life.ts";
import { Disk, type StoredSnapshot } from "./disk.ts";
import { LogImage } from "./log-image.ts";
import { electionMsMax, electionMsMin, heartbeatMs } from "./profile.ts";
import { Requests } from "./requests.ts";
import { checkTouch } from "./touch-check.ts";
import { eventWords, outputWords } from "./words.ts";
import { Violation } from "./violation.ts";
import { freezeEntries, type World } from "./world.ts";

/** Everything that a crash takes away. */
interface Running {
  readonly life: Life;
  readonly applier: Applier;
  readonly requests: Requests;
  /** When the core wants to be woken, of the simulated clock. */
  wakeAtMs: number;
}

export class Server {
  readonly id: ServerId;
  readonly #world: World;
  readonly #disk: Disk;
  #running: Running | undefined;
  #pausedUntilMs = 0;
  /** What reaches the server while it stands still. */
  #backlog: (() => void)[] = [];
  /** The server's clock: how fast it goes, and when it began. */
  #rate = 1;
  #originMs = 0;

  constructor(id: ServerId, world: World, snapshot: StoredSnapshot) {
    this.id = id;
    this.#world = world;
    const { agenda, random, marks, profile } = world;
    this.#disk = new Disk({ agenda, random, marks, syncMs: profile.syncMs }, snapshot);
    world.checks.disks.set(id, this.#disk);
  }

  get life(): Life | undefined {
    return this.#running?.life;
  }

  get isPaused(): boolean {
    return this.#world.agenda.nowMs < this.#pausedUntilMs;
  }

  get isLeader(): boolean {
    return this.life?.standing.role === "leader";
  }

  get appliedIndex(): number {
    return this.#running?.applier.index ?? 0;
  }

  get requests(): Requests | undefined {
    return this.#running?.requests;
  }

  start(): void {
    const { checks, profile, random, marks, makeCore, agenda } = this.#world;
    this.#rate = 1 + random.between(-profile.drift, profile.drift);
    this.#originMs = agenda.nowMs - random.between(0, 1_000_000);
    // A life that ended hears nothing of its writes.
    const durable = this.#disk.open((number) => this.#receive(life, () => this.#persisted(number)));
    const chance = random.fork();
    const core = this.#guard(
      () => "its start",
      () =>
        makeCore(
          {
            id: this.id,
            random: (limit) => chance.int(limit),
            heartbeatMs,
            electionMsMin,
            electionMsMax,
            appendBytesMax: profile.appendBytesMax,
            inflightMessagesMax: profile.inflightMessagesMax,
            inflightBytesMax: 4 * profile.appendBytesMax,
            uncommittedBytesMax: 4000,
            trailingEntries: profile.trailingEntries,
            trailingBytes: 10_000,
          },
          durable,
          this.#localMs(),
        ),
    );
    const log = new LogImage(durable.snapshot, durable.entries);
    const life = checks.begin(this.id, core, this.#disk, log);
    const applier = new Applier(this.#world, this.#disk, {
      id: this.id,
      onApplied: (entry, seen) => requests.onApplied(entry, seen),
      onSnapshot: (index) => this.#receive(life, () => this.step({ kind: "snapshotted", index })),
    });
    const requests = new Requests(this.#world, this, applier);
    this.#running = { life, applier, requests, wakeAtMs: Number.POSITIVE_INFINITY };
    if (this.#disk.hardState.term > 0) marks.add("restarts");
    this.step({ kind: "wake" });
  }

  crash(): void {
    const running = this.#running;
    if (running === undefined) return;
    this.#world.marks.add("crashes");
    this.#note(() => "crashes");
    this.stop();
    this.#disk.crash();
  }

  /** Ends in order: nothing is on its way to the disk that matters. */
  stop(): void {
    const running = this.#running;
    if (running === undefined) return;
    running.applier.dispose();
    this.#world.checks.end(running.life);
    this.#running = undefined;
    this.#backlog = [];
    this.#pausedUntilMs = 0;
  }

  /** Stands still: its clock goes on. */
  pause(ms: number): void {
    const { agenda } = this.#world;
    this.#pausedUntilMs = agenda.nowMs + ms;
    this.#note(() => `stands still for ${ms.toFixed(0)} ms`);
    agenda.after(ms, () => this.resume());
  }

  resume(): void {
    if (this.isPaused && this.#world.faulty) return;
    this.#pausedUntilMs = 0;
    if (this.life !== undefined) this.life.attentiveSinceMs = this.#world.agenda.nowMs;
    const backlog = this.#backlog;
    this.#backlog = [];
    for (const run of backlog) run();
  }

  beSlowUntil(atMs: number): void {
    this.#disk.beSlowUntil(atMs);
  }

  /** Something from outside: nobody hears it while the server is down. */
  receive(run: () => void): void {
    if (this.life !== undefined) this.#receive(this.life, run);
  }

  receiveMessage(message: Message): void {
    this.receive(() => this.step({ kind: "message", message }));
  }

  step(event: Event): void {
    const running = this.#running;
    if (running === undefined) return;
    const { checks } = this.#world;
    this.#note(() => eventWords(event));
    const output = this.#guard(
      () => eventWords(event),
      () => running.life.core.step(event, this.#localMs()),
    );
    this.#note(() => `  →${outputWords(output)}`);
    freeze(output);
    checks.afterStep(running.life, event, output);
    checkTouch(running.life, event, this.#world.agenda.nowMs);
    this.#perform(running, output);
  }

  // ------------------------------------------------------------------ what the core asks for

  #perform(running: Running, output: Output): void {
    const { persist } = output;
    if (persist !== undefined) this.#disk.persist(persist);
    for (const message of output.send) this.#send(running, message);
    running.requests.onOutput(output);
    if (persist?.install !== undefined) {
      running.applier.install(persist.install, persist.number);
    }
    running.applier.add(output.apply);
    this.#wakeAt(running, output.wakeAtMs);
  }

  #send(running: Running, message: Message): void {
    const { network, servers, marks } = this.#world;
    const filled = message.kind === "snapshot-chunk" ? this.#fill(running, message) : message;
    if (filled === undefined) return;
    if (filled.kind === "snapshot-chunk") marks.add("snapshot chunks sent");
    const { from, to } = filled;
    network.send({ from, to, once: false, deliver: () => servers.get(to)?.receiveMessage(filled) });
  }

  /** The driver's part of sending a snapshot: to read its pieces. */
  #fill(running: Running, message: Message & { kind: "snapshot-chunk" }): Message | undefined {
    const { checks, marks, agenda } = this.#world;
    const { meta, chunks } = this.#disk.snapshot;
    const data = chunks[message.chunk];
    if (meta.index !== message.meta.index || data === undefined) {
      marks.add("snapshots gone while sent");
      agenda.after(0, () =>
        this.#receive(running.life, () => this.step({ kind: "snapshot-gone", to: message.to })),
      );
      return undefined;
    }
    checks.same(message.meta, meta, `snapshot ${meta.index}`);
    return { ...message, data, last: message.chunk === chunks.length - 1 };
  }

  #persisted(number: number): void {
    const running = this.#running;
    if (running === undefined) return;
    this.step({ kind: "persisted", number });
    running.applier.onPersisted(number);
  }

  #wakeAt(running: Running, localMs: number): void {
    const { agenda, random } = this.#world;
    if (!(localMs < Number.POSITIVE_INFINITY)) {
      throw new Violation("contract", `server ${this.id} wants to be woken at ${localMs}`);
    }
    // A timer that is late, and now and then one that is early.
    const jitterMs = random.chance(0.05) ? -20 : random.between(0, 3);
    const atMs = Math.max(agenda.nowMs, this.#originMs + localMs / this.#rate + jitterMs);
    // An earlier timer asks again, with what the core says then.
    if (running.wakeAtMs <= atMs && running.wakeAtMs > agenda.nowMs) return;
    running.wakeAtMs = atMs;
    agenda.at(atMs, () => {
      if (this.#running !== running || running.wakeAtMs !== atMs) return;
      running.wakeAtMs = Number.POSITIVE_INFINITY;
      this.#receive(running.life, () => this.step({ kind: "wake" }));
    });
  }

  // ------------------------------------------------------------------ the server itself

  /** Runs it now, or when the server goes on, unless it ended. */
  #receive(life: Life, run: () => void): void {
    if (this.life !== life) return;
    if (!this.isPaused) run();
    else {
      this.#backlog.push(() => {
        if (this.life === life) run();
      });
    }
  }

  #localMs(): number {
    return (this.#world.agenda.nowMs - this.#originMs) * this.#rate;
  }

  #note(words: () => string): void {
    this.#world.trace.add(`server ${this.id}`, words);
  }

  #guard<T>(what: () => string, run: () => T): T {
    try {
      return run();
    } catch (thrown) {
      throw new Violation("contract", `the core of server ${this.id} throws at: ${what()}`, thrown);
    }
  }
}

function freeze(output: Output): void {
  freezeEntries(output.apply);
  if (output.persist !== undefined) freezeEntries(output.persist.entries);
  for (const message of output.send) {
    Object.freeze(message);
    if (message.kind === "append") freezeEntries(message.entries);
  }
}
