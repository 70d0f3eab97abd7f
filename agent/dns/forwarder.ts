/**
 * Asks the host's own nameservers for what the cluster does not know: one after the other, each with a deadline, first
 * those that answered lately. Equal questions that come while one is under way share its answer, and answers are kept
 * for their time to live. Bounded: so many questions under way, so many of them one asker's.
 */
import type { Clock, Random } from "#proto/ports.ts";
import type { Answer } from "./answer.ts";
import { AnswerCache, type CachedAnswer } from "./answer-cache.ts";
import { type Query, responseCode } from "./message.ts";
import { askUpstream } from "./upstream.ts";

export interface ForwarderOptions {
  /** Asked for every query, so that a change of the host's configuration counts. */
  readonly nameservers: () => Promise<readonly string[]>;
  readonly port?: number;
  readonly deadlineMs?: number;
}

export interface ForwarderModules {
  readonly clock: Clock;
  readonly random: Random;
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
  /** Nameserver → until when it is asked last. */
  readonly #avoided = new Map<string, number>();
  #servers = "";
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
  recall(query: Query): CachedAnswer | undefined {
    return this.#cache.get(keyOf(query));
  }

  /** `asker` is counted, so that all get their share. */
  async ask(query: Query, asker: string): Promise<Outcome> {
    const waiting = this.#waiting.get(asker) ?? 0;
    if (waiting >= waitingPerAskerMax) return "failed";
    this.#waiting.set(asker, waiting + 1);
    try {
      return await this.#share(query);
    } finally {
      const left = (this.#waiting.get(asker) ?? 1) - 1;
      if (left === 0) this.#waiting.delete(asker);
      else this.#waiting.set(asker, left);
    }
  }

  #share(query: Query): Promise<Outcome> {
    const key = keyOf(query);
    const known = this.#underWay.get(key);
    if (known !== undefined) return known;
    if (this.#underWay.size >= questionsMax) return Promise.resolve("failed");
    const asking = this.#askInTurn(query, key).finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, asking);
    return asking;
  }

  async #askInTurn(query: Query, key: string): Promise<Outcome> {
    const servers = this.#inOrder(await this.#options.nameservers());
    if (servers.length === 0) return "no-upstream";
    let refusal: Answer | undefined;
    for (let attempt = 0; attempt < attemptsMax && !this.#disposed; attempt += 1) {
      const server = servers[attempt % servers.length] ?? "";
      // Who refused once does so again.
      if (refusal !== undefined && attempt >= servers.length) break;
      const answer = await this.#ask(server, query);
      if (answer === undefined) continue;
      if (isFinal(answer)) {
        this.#cache.put(key, answer);
        return { answer, ageSeconds: 0 };
      }
      refusal = answer;
    }
    return refusal === undefined ? "failed" : { answer: refusal, ageSeconds: 0 };
  }

  /** Undefined: no answer of this server, for whatever reason; the next one is asked. */
  async #ask(server: string, query: Query): Promise<Answer | undefined> {
    using deadline = this.#deadline();
    const upstream = { server, port: this.#options.port ?? 53 };
    const id = this.#random.int(0x10000);
    try {
      const answer = await askUpstream(upstream, query, { id, signal: deadline.signal });
      this.#avoided.delete(server);
      return answer;
    } catch {
      this.#avoided.set(server, this.#clock.monotonic() + avoidMs);
      return undefined;
    }
  }

  #inOrder(servers: readonly string[]): readonly string[] {
    const named = servers.join(" ");
    if (named !== this.#servers) {
      // Others may know other names: in a VPN, for one.
      this.#servers = named;
      this.#cache.clear();
      this.#avoided.clear();
    }
    const nowMs = this.#clock.monotonic();
    const avoided = (server: string) => (this.#avoided.get(server) ?? 0) > nowMs;
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
function keyOf({ name, type, checkingDisabled, edns }: Query): string {
  return `${type} ${checkingDisabled} ${edns?.dnssecOk ?? false} ${name}`;
}

/** Others may know better than one that has trouble or does not want to. */
function isFinal({ code }: Answer): boolean {
  return code === responseCode.noError || code === responseCode.noSuchName;
}
