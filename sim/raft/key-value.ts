/** The state machine that the servers replicate: a few registers. Every command tells what it saw, so that it is a witness. */
export type Command =
  | { readonly kind: "write"; readonly key: number; readonly value: number }
  | {
      readonly kind: "compare-and-set";
      readonly key: number;
      readonly expected: number;
      readonly value: number;
    };

/** Commands have numbers of their own, so that one that is applied twice is found. */
export type NumberedCommand = Command & { readonly operation: number };

/** What was there before, 0 where nothing was. */
export type Seen = number;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function encodeCommand(command: NumberedCommand): Uint8Array {
  return encoder.encode(JSON.stringify(command));
}

export function decodeCommand(data: Uint8Array): NumberedCommand {
  return JSON.parse(decoder.decode(data)) as NumberedCommand;
}

export class KeyValueMachine {
  #values: number[];

  constructor(snapshot?: Uint8Array) {
    this.#values = snapshot === undefined ? [] : (JSON.parse(decoder.decode(snapshot)) as number[]);
  }

  get(key: number): number {
    return this.#values[key] ?? 0;
  }

  apply(command: Command): Seen {
    const seen = this.get(command.key);
    if (command.kind === "write" || seen === command.expected) {
      while (this.#values.length < command.key) this.#values.push(0);
      this.#values[command.key] = command.value;
    }
    return seen;
  }

  encode(): Uint8Array {
    return encoder.encode(this.toString());
  }

  toString(): string {
    return JSON.stringify(this.#values);
  }
}
