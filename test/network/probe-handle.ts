/** A probe from outside: starts the program in a namespace and speaks to it. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Namespace } from "#agent/network/testing/namespace.ts";
import type { Command, Protocol, Question, Reply, Target } from "./probe.ts";

const program = fileURLToPath(new URL("probe.ts", import.meta.url));

/** Every wait of a probe ends long before. */
const deadlineMs = 60_000;

export interface ProbeOptions {
  readonly name: string;
  readonly ports: readonly number[];
  /** Inside the namespace's own: a task's. */
  readonly taskId?: string;
}

/** A flow that is kept. */
export interface KeptFlow {
  /** Who answered first, as "a2 10.100.1.11 40000". */
  readonly first: string;
  exchange(bytes?: number): Promise<string>;
  close(): Promise<void>;
}

export class Probe {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (reply: Reply) => void>();
  #lastId = 0;

  static async start(namespace: Namespace, options: ProbeOptions): Promise<Probe> {
    const { name, ports, taskId } = options;
    const node = [process.execPath, program, name, ...ports.map(String)];
    const inside = taskId === undefined ? [] : ["nsenter", `--net=/run/netns/${taskId}`];
    const [command = "", ...args] = [...inside, ...node];
    const child = namespace.start(command, args, "ipc");
    const signal = AbortSignal.timeout(deadlineMs);
    await Promise.race([
      once(child, "message", { signal }),
      once(child, "close", { signal }).then(() => assert.fail(`probe ${name} did not start`)),
    ]);
    return new Probe(name, child);
  }

  /** For `start`. */
  constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.#child = child;
    child.on("message", (reply: Reply) => {
      this.#waiting.get(reply.id)?.(reply);
      this.#waiting.delete(reply.id);
    });
  }

  /** Who answers, as "a2 10.100.1.11", or why nobody does, as "ECONNREFUSED". */
  async ask(protocol: Protocol, address: string, port: number): Promise<string> {
    return (await this.askTimed({ protocol, address, port })).text;
  }

  async askTimed(target: Target): Promise<{ readonly text: string; readonly ms: number }> {
    const { texts, ms } = await this.#call({ kind: "ask", target, count: 1 });
    return { text: withoutPort(texts[0] ?? ""), ms };
  }

  /** The different answers to so many questions, sorted. */
  async askMany(target: Target, count: number): Promise<readonly string[]> {
    const { texts } = await this.#call({ kind: "ask", target, count });
    return [...new Set(texts.map(withoutPort))].toSorted();
  }

  async hold(target: Target): Promise<KeptFlow> {
    const { texts, flow } = await this.#call({ kind: "open", target });
    const [first = ""] = texts;
    assert(flow !== undefined, `${this.name} opens no flow to ${target.address}: ${first}`);
    return {
      first,
      exchange: async (bytes = 1) =>
        (await this.#call({ kind: "exchange", flow, bytes })).texts[0] ?? "",
      close: async () => {
        await this.#call({ kind: "close", flow });
      },
    };
  }

  async pour(target: Target, text: string, times: number): Promise<string> {
    return (await this.#call({ kind: "pour", target, text, times })).texts[0] ?? "";
  }

  async datagram(address: string, port: number, payload: Uint8Array): Promise<string> {
    return (await this.#call({ kind: "datagram", address, port, payload })).texts[0] ?? "";
  }

  async resolve(query: Omit<Extract<Command, { kind: "resolve" }>, "kind">): Promise<string> {
    return (await this.#call({ kind: "resolve", ...query })).texts[0] ?? "";
  }

  async stop(): Promise<void> {
    const closed = once(this.#child, "close");
    this.#child.kill("SIGKILL");
    await closed;
  }

  async #call(command: Command): Promise<Reply> {
    this.#lastId += 1;
    const question: Question = { id: this.#lastId, command };
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    this.#waiting.set(question.id, resolve);
    const late = AbortSignal.timeout(deadlineMs);
    late.addEventListener("abort", () => reject(new Error(`probe ${this.name} does not answer`)));
    this.#child.send(question);
    return await promise;
  }
}

function withoutPort(text: string): string {
  return text.split(" ").slice(0, 2).join(" ");
}
