/** One client: one operation after another, each at a manager of its choice, for as long as it is let. */
import { setTimeout as sleep } from "node:timers/promises";
import type { SeededRandom } from "#sim/random.ts";
import { type Code, Fault } from "#proto/fault.ts";
import type { Managers } from "./managers.ts";
import type { Operation, Outcome, Request } from "./operation.ts";
import { ConfigRegister, type Control, type Register, ServiceRegister } from "./registers.ts";

/** A register of the client's own is left as it is after so many changes, and another one begun. */
const changesMax = 12;

/** After an operation that failed, on top of the usual pause. */
const failedPauseMs = 100;

/** Of others' registers, the newest are looked at. */
const othersMax = 40;

export interface ClientOptions {
  readonly name: string;
  /** Asked for everything; undefined: any of them, anew each time. */
  readonly manager: string | undefined;
  readonly services: readonly string[];
  readonly deadlineMs: number;
  readonly pauseMs: number;
}

/** What the clients of a program have in common. */
export interface Recorder {
  /** Counts calls and returns. */
  count(): number;
  /** Like no other. */
  newValue(): number;
  /** Names of configs that clients have begun with, the oldest first. */
  readonly configs: string[];
  write(operation: Operation): void;
}

export interface ClientModules {
  readonly managers: Managers;
  readonly random: SeededRandom;
  readonly recorder: Recorder;
}

export class Client {
  readonly #options: ClientOptions;
  readonly #modules: ClientModules;
  readonly #shared: readonly ServiceRegister[];
  #own: ConfigRegister;
  #ownChanges = 0;
  #generation = 0;

  constructor(options: ClientOptions, modules: ClientModules) {
    this.#options = options;
    this.#modules = modules;
    this.#shared = options.services.map((name) => new ServiceRegister(name));
    this.#own = this.#newOwn();
  }

  async run(stop: AbortSignal): Promise<void> {
    const { random } = this.#modules;
    const { pauseMs } = this.#options;
    while (!stop.aborted) {
      const { kind } = await this.#step();
      const waitMs = random.between(0, 2 * pauseMs) + (kind === "unknown" ? failedPauseMs : 0);
      await sleep(waitMs, undefined, { signal: stop }).catch(() => {});
    }
  }

  async #step(): Promise<Outcome> {
    const { random, recorder } = this.#modules;
    const shared = random.pick(this.#shared);
    if (shared === undefined || random.chance(0.3)) return await this.#changeOwn();
    if (random.chance(0.4)) {
      const name = random.pick(recorder.configs.slice(-othersMax)) ?? this.#own.name;
      return await this.#read(new ConfigRegister(name));
    }
    if (shared.known === 0 || random.chance(0.5)) return await this.#read(shared);
    return await this.#set(shared, recorder.newValue());
  }

  async #changeOwn(): Promise<Outcome> {
    const value = this.#own.known === 0 ? this.#modules.recorder.newValue() : 0;
    const outcome = await this.#set(this.#own, value);
    this.#ownChanges += 1;
    // Whoever does not know what is there leaves it to those that read.
    if (outcome.kind !== "done" || this.#ownChanges >= changesMax) this.#own = this.#newOwn();
    return outcome;
  }

  #newOwn(): ConfigRegister {
    this.#generation += 1;
    this.#ownChanges = 0;
    const name = `${this.#options.name}-${this.#generation}`;
    this.#modules.recorder.configs.push(name);
    return new ConfigRegister(name);
  }

  #read(register: Register): Promise<Outcome> {
    const { deadlineMs } = this.#options;
    return this.#record(register, { kind: "read" }, (control) =>
      register.read(control, { deadlineMs }),
    );
  }

  #set(register: Register, value: number): Promise<Outcome> {
    const { deadlineMs } = this.#options;
    const request = { kind: "compare-and-set", expected: register.known, value } as const;
    return this.#record(register, request, (control) =>
      register.set(value, control, { deadlineMs }),
    );
  }

  async #record(
    register: Register,
    request: Request,
    call: (control: Control) => Promise<number | undefined>,
  ): Promise<Outcome> {
    const { managers, random, recorder } = this.#modules;
    const manager = this.#options.manager ?? random.pick(managers.addresses) ?? "";
    const calledAt = recorder.count();
    const startedAtMs = Date.now();
    const outcome = await outcomeOf(call(managers.control(manager)));
    // A connection on which nothing comes may be a dead one.
    if (outcome.kind !== "done") managers.reconnect(manager);
    recorder.write({
      client: this.#options.name,
      manager,
      register: register.name,
      request,
      calledAt,
      returnedAt: recorder.count(),
      startedAtMs,
      endedAtMs: Date.now(),
      outcome,
    });
    return outcome;
  }
}

/** What managers that come and go may answer. */
const expected: readonly Code[] = ["unavailable", "deadline-exceeded"];

async function outcomeOf(call: Promise<number | undefined>): Promise<Outcome> {
  try {
    const seen = await call;
    return seen === undefined ? { kind: "refused", why: "conflict" } : { kind: "done", seen };
  } catch (thrown) {
    const { code, message } = Fault.from(thrown);
    const kind = expected.includes(code) ? "unknown" : "wrong";
    return { kind, why: `${code}: ${message}` };
  }
}
