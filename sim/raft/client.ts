/** One client: one operation after another at whatever server, and a new one when an answer does not come. */
import type { History, Request } from "./history.ts";
import type { SeededRandom } from "../random.ts";
import type { Outcome } from "./requests.ts";
import type { Server } from "./server.ts";
import type { World } from "./world.ts";

const patienceMs = 1500;

export class Client {
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #history: History;
  readonly #onDone: (request: Request, outcome: Outcome) => void;
  /** What the client last saw of each key: a good guess for what is there. */
  readonly #lastSeen = new Map<number, number>();
  #stopped = false;

  constructor(
    world: World,
    history: History,
    onDone: (request: Request, outcome: Outcome) => void,
  ) {
    this.#world = world;
    this.#random = world.random.fork();
    this.#history = history;
    this.#onDone = onDone;
  }

  start(): void {
    this.#world.agenda.after(this.#random.between(0, 2 * this.#world.profile.thinkMs), () => {
      if (!this.#stopped) this.#call();
    });
  }

  stop(): void {
    this.#stopped = true;
  }

  #call(): void {
    const { agenda, servers, marks } = this.#world;
    const request = this.#draw();
    const server = this.#random.pick([...servers.values()]);
    const record = this.#history.call(request);
    let over = false;
    const reply = (outcome: Outcome): void => {
      agenda.after(this.#random.between(0, 3), () => {
        if (over) return;
        over = true;
        record(outcome);
        if (outcome.kind === "done")
          this.#lastSeen.set(request.key, nowThere(request, outcome.seen));
        this.#onDone(request, outcome);
        this.start();
      });
    };
    agenda.after(this.#random.between(0, 3), () => {
      // Nobody listens there.
      if (server?.life === undefined) return reply({ kind: "refused" });
      server.receive(() => {
        if (request.kind === "read") server.requests?.read(request.key, reply);
        else server.requests?.write(request, reply);
      });
    });
    agenda.after(patienceMs, () => {
      if (over) return;
      over = true;
      marks.add("operations without an answer");
      this.start();
    });
  }

  #draw(): Request {
    const key = this.#random.int(this.#world.profile.keys);
    if (this.#random.chance(0.4)) return { kind: "read", key };
    // No two commands write the same: what is seen names who wrote it.
    const operation = this.#world.nextRequest();
    if (this.#random.chance(0.6)) return { kind: "write", key, value: operation, operation };
    const expected = this.#lastSeen.get(key) ?? 0;
    return { kind: "compare-and-set", key, expected, value: operation, operation };
  }
}

/** Many writes at once, as from many clients, of whom nobody waits long. */
export function burst(world: World, history: History, server: Server, count: number): void {
  for (let written = 0; written < count; written += 1) {
    const operation = world.nextRequest();
    const key = operation % world.profile.keys;
    const request = { kind: "write", key, value: operation, operation } as const;
    const record = history.call(request);
    server.receive(() => server.requests?.write(request, record));
  }
}

/** What an operation that saw `seen` leaves behind. */
function nowThere(request: Request, seen: number): number {
  if (request.kind === "write") return request.value;
  return request.kind === "compare-and-set" && request.expected === seen ? request.value : seen;
}
