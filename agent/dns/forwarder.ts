/**
 * Asks other nameservers for what the cluster does not know: one after the other, each with a deadline, first those that
 * answered lately. Equal questions that come while one is under way share its answer, and answers are kept for their
 * time to live. Bounded: so many questions under way, so many of them one asker's.
 *
 * Some tasks have nameservers of their own, which know other names and may be chosen to harm. So what is learnt of one set of
 * nameservers, answers and failures, is for those who ask that set; who asks others sees nothing of it.
 */
import type { Clock, Random } from "#proto/ports.ts";
import type { Answer } from "./answer.ts";
import { AnswerCache, type CachedAnswer } from "./answer-cache.ts";
import { type Query, responseCode } from "./message.ts";
import { askUpstream } from "./upstream.ts";

export interface ForwarderOptions {
  readonly port?: number;
  readonly deadlineMs?: number;
}

export interface ForwarderModules {
  readonly clock: Clock;
  readonly random: Random;
}

/** A question's way. */
export interface Course {
  /** Counted, so that all get their share. */
  readonly asker: string;
  /** Whom to ask, in this order. */
  readonly servers: readonly string[];
}

/** Nobody to ask, or nobody who answered. */
export type Outcome = CachedAnswer | "no-upstream" | "failed";

/** Three of them end before the C library in the container gives up, which waits for 5 s. */
const deadlineMsDefault = 1_500;
const attemptsMax = 3;

/** Each has a socket. */
const questionsMax = 1_024;
/** One task that asks for what nobody answers does not keep others from asking. */
const waitingPerAskerMax = 256;

/** A nameserver that did not answer is asked last for so long. */
const avoidMs = 10_000;

export class Forwarder {
  readonly #options: ForwarderOptions;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #cache: AnswerCache;
  readonly #underWay = new Map<string, Promise<Outcome>>();
  readonly #waiting = new Map<string, number>();
  readonly #exchanges = new Set<AbortController>();
  /** Nameserver of a set → until when it is asked last, in the order in which they failed. */
  readonly #avoided = new Map<string, number>();
  #disposed = false;

  constructor(options: ForwarderOptions, { clock, random }: ForwarderModules) {
    this.#options = options;
    this.#clock = clock;
    this.#random = random;
    this.#cache = new AnswerCache({ clock });
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    for (const exchange of this.#exchanges) exchange.abort();
  }

  /** What can be said at once. */
  recall(query: Query, servers: readonly string[]): CachedAnswer | undefined {
    return this.#cache.get(keyOf(query, servers));
  }

  async ask(query: Query, { asker, servers }: Course): Promise<Outcome> {
    if (servers.length === 0) return "no-upstream";
    const waiting = this.#waiting.get(asker) ?? 0;
    if (waiting >= waitingPerAskerMax) return "failed";
    this.#waiting.set(asker, waiting + 1);
    try {
      return await this.#share(query, servers);
    } finally {
      const left = (this.#waiting.get(asker) ?? 1) - 1;
      if (left === 0) this.#waiting.delete(asker);
      else this.#waiting.set(asker, left);
    }
  }

  #share(query: Query, servers: readonly string[]): Promise<Outcome> {
    const key = keyOf(query, servers);
    const known = this.#underWay.get(key);
    if (known !== undefined) return known;
    if (this.#underWay.size >= questionsMax) return Promise.resolve("failed");
    const asking = this.#askInTurn(query, servers)
      .then((outcome) => {
        if (typeof outcome === "object" && isFinal(outcome.answer)) {
          this.#cache.put(key, outcome.answer);
        }
        return outcome;
      })
      .finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, asking);
    return asking;
  }

  async #askInTurn(query: Query, given: readonly string[]): Promise<Outcome> {
    const set = given.join(" ");
    const servers = this.#inOrder(given, set);
    let refusal: Answer | undefined;
    for (let attempt = 0; attempt < attemptsMax && !this.#disposed; attempt += 1) {
      const server = servers[attempt % servers.length] ?? "";
      // Who refused once does so again.
      if (refusal !== undefined && attempt >= servers.length) break;
      const answer = await this.#ask(server, query);
      this.#remember(`${set} ${server}`, answer !== undefined);
      if (answer === undefined) continue;
      if (isFinal(answer)) return { answer, ageSeconds: 0 };
      refusal = answer;
    }
    return refusal === undefined ? "failed" : { answer: refusal, ageSeconds: 0 };
  }

  /** Undefined: no answer of this server, for whatever reason. */
  async #ask(server: string, query: Query): Promise<Answer | undefined> {
    using deadline = this.#deadline();
    const upstream = { server, port: this.#options.port ?? 53 };
    const id = this.#random.int(0x10000);
    try {
      return await askUpstream(upstream, query, { id, signal: deadline.signal });
    } catch {
      return undefined;
    }
  }

  #remember(place: string, answered: boolean): void {
    this.#avoided.delete(place);
    if (answered) return;
    const nowMs = this.#clock.monotonic();
    this.#avoided.set(place, nowMs + avoidMs);
    for (const [oldest, untilMs] of this.#avoided) {
      if (untilMs > nowMs) break;
      this.#avoided.delete(oldest);
    }
  }

  #inOrder(servers: readonly string[], set: string): readonly string[] {
    const nowMs = this.#clock.monotonic();
    const avoided = (server: string) => (this.#avoided.get(`${set} ${server}`) ?? 0) > nowMs;
    return [...servers.filter((server) => !avoided(server)), ...servers.filter(avoided)];
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

/** What the answer depends on. Capitals do not matter, and what the asker can take is not the nameserver's business. */
function keyOf({ name, type, checkingDisabled, edns }: Query, servers: readonly string[]): string {
  const wanted = `${type} ${checkingDisabled} ${edns?.dnssecOk ?? false}`;
  return `${servers.join(" ")} ${wanted} ${name}`;
}

/** Others may know better than one that has trouble or does not want to. */
function isFinal({ code }: Answer): boolean {
  return code === responseCode.noError || code === responseCode.noSuchName;
}
