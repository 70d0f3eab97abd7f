/**
 * The manager's end of what it and swarmd, its parent, say to each other: see proto/manager-messages.ts. What comes in is
 * swarmd's own, so a line that is none of the messages is a mistake of ours and ends the process.
 */
import { fstatSync } from "node:fs";
import { createInterface } from "node:readline";
import { Fault } from "#proto/fault.ts";
import type { FromManager, TlsIdentity, ToManager } from "#proto/manager-messages.ts";

export type Begin = Extract<ToManager, { kind: "begin" }>;

export class Parent {
  /** Resolves with the first message. */
  readonly begin: Promise<Begin>;
  /** Resolves with the reason when the process shall end: a signal came, or swarmd went away. */
  readonly ended: Promise<string>;
  readonly #identity = Promise.withResolvers<TlsIdentity>();
  readonly #begin = Promise.withResolvers<Begin>();
  readonly #ended = Promise.withResolvers<string>();
  #onIdentity: (identity: TlsIdentity) => void = () => {};
  #onSettings: (args: readonly string[]) => void = () => {};

  constructor() {
    this.begin = this.#begin.promise;
    this.ended = this.#ended.promise;
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      process.on(signal, () => this.#ended.resolve(signal));
    }
    const lines = createInterface({ input: process.stdin });
    lines.on("line", (line) => this.#onLine(line));
    lines.on("close", () => this.#onClose());
  }

  /** Resolves when the manager has an identity to show: from the beginning, or once swarmd completed the issued one. */
  get identity(): Promise<TlsIdentity> {
    return this.#identity.promise;
  }

  /** Calls the listener with every identity that comes from now on. */
  onIdentity(listener: (identity: TlsIdentity) => void): void {
    this.#onIdentity = listener;
  }

  /** Calls the listener with the command line of each settings that come from now on. */
  onSettings(listener: (args: readonly string[]) => void): void {
    this.#onSettings = listener;
  }

  tell(message: FromManager): void {
    process.stdout.write(`${JSON.stringify(message)}\n`);
  }

  #onLine(line: string): void {
    const message = parse(line);
    if (message === undefined) {
      this.#ended.resolve("swarmd said what this manager does not understand");
      return;
    }
    if (message.kind === "settings") {
      this.#onSettings(message.args);
      return;
    }
    if (message.identity !== undefined) {
      this.#identity.resolve(message.identity);
      this.#onIdentity(message.identity);
    }
    if (message.kind === "begin") this.#begin.resolve(message);
  }

  #onClose(): void {
    const why = "the parent ended";
    this.#begin.reject(new Fault("failed-precondition", "nothing was said on stdin: swarmd does"));
    // A terminal or /dev/null is nobody's word.
    const stdin = fstatSync(0);
    if (stdin.isFIFO() || stdin.isSocket()) this.#ended.resolve(why);
  }
}

function parse(line: string): ToManager | undefined {
  let value: Partial<ToManager>;
  try {
    value = Object(JSON.parse(line));
  } catch {
    return undefined;
  }
  const known = value.kind === "begin" || value.kind === "identity" || value.kind === "settings";
  return known ? (value as ToManager) : undefined;
}
