/** A template that was read, and what it makes of a value. */
import { Fault } from "#proto/fault.ts";
import { nearMiss } from "#proto/near-miss.ts";
import {
  callFunction,
  callInHeading,
  entriesOf,
  isTrue,
  lazyFunctions,
  printed,
  typeWord,
} from "./functions.ts";
import { refusal } from "./lex.ts";
import {
  type Branch,
  type Call,
  type Node,
  type Operand,
  parseTemplate,
  type Pipe,
} from "./parse.ts";

/** What a field of an object is: undefined where it has none of that name. */
export type Lookup = (object: Readonly<Record<string, unknown>>, name: string) => unknown;

const ownField: Lookup = (object, name) => (Object.hasOwn(object, name) ? object[name] : undefined);

export class Template {
  readonly #nodes: readonly Node[];

  /** Throws a Fault that says where the text is not understood. */
  constructor(source: string) {
    this.#nodes = parseTemplate(source);
  }

  /** Throws a Fault where the value has no such field, or not of the kind that a function wants. */
  run(value: unknown, lookup: Lookup = ownField): string {
    return this.#run(value, new Run(value, { lookup, call: callFunction }));
  }

  /** The heading of a table: the template made of the titles, which `upper` and its like do not touch. */
  heading(titles: Readonly<Record<string, unknown>>): string {
    return this.#run(titles, new Run(titles, { lookup: ownField, call: callInHeading }));
  }

  #run(value: unknown, run: Run): string {
    run.nodes(this.#nodes, value);
    return run.text;
  }
}

interface Variable {
  readonly name: string;
  value: unknown;
}

/** How a list of nodes ended. */
type End = "done" | "break" | "continue";

interface Ways {
  readonly lookup: Lookup;
  readonly call: (name: string, args: readonly unknown[]) => unknown;
}

class Run {
  text = "";
  readonly #ways: Ways;
  readonly #variables: Variable[];

  constructor(value: unknown, ways: Ways) {
    this.#ways = ways;
    this.#variables = [{ name: "", value }];
  }

  nodes(nodes: readonly Node[], dot: unknown): End {
    for (const node of nodes) {
      const end = this.#node(node, dot);
      if (end !== "done") return end;
    }
    return "done";
  }

  #node(node: Node, dot: unknown): End {
    switch (node.kind) {
      case "text":
        this.text += node.text;
        return "done";
      case "pipe": {
        const value = this.#pipe(node.pipe, dot);
        // One that sets a variable prints nothing.
        if (node.pipe.variables.length === 0) this.text += printed(value);
        return "done";
      }
      case "break":
      case "continue":
        return node.kind;
      default:
        return this.#scoped(() => this.#branch(node, dot));
    }
  }

  #branch(branch: Branch, dot: unknown): End {
    if (branch.kind === "range") return this.#range(branch, dot);
    const value = this.#pipe(branch.pipe, dot);
    if (!isTrue(value)) return this.nodes(branch.otherwise, dot);
    return this.nodes(branch.body, branch.kind === "with" ? value : dot);
  }

  #range(branch: Branch, dot: unknown): End {
    const { pipe } = branch;
    const entries = rangeOf(this.#value({ ...pipe, variables: [] }, dot), pipe.at);
    let isEmpty = true;
    for (const [key, element] of entries) {
      isEmpty = false;
      const end = this.#scoped(() => {
        const values = pipe.variables.length === 1 ? [element] : [key, element];
        for (const [index, name] of pipe.variables.entries()) {
          this.#set(name, values[index], pipe.declares);
        }
        return this.nodes(branch.body, element);
      });
      if (end === "break") break;
    }
    return isEmpty ? this.nodes(branch.otherwise, dot) : "done";
  }

  #scoped(run: () => End): End {
    const known = this.#variables.length;
    const end = run();
    this.#variables.length = known;
    return end;
  }

  #pipe(pipe: Pipe, dot: unknown): unknown {
    const value = this.#value(pipe, dot);
    for (const name of pipe.variables) this.#set(name, value, pipe.declares);
    return value;
  }

  /** Each call has the one before it as its last argument. */
  #value(pipe: Pipe, dot: unknown): unknown {
    return pipe.calls.reduce<{ value: unknown } | undefined>(
      (before, call) => ({ value: this.#call(call, dot, before) }),
      undefined,
    )?.value;
  }

  #call(call: Call, dot: unknown, before: { readonly value: unknown } | undefined): unknown {
    const [first, ...rest] = call.operands;
    if (first === undefined) throw refusal(call.at, "A value is missing");
    if (first.kind === "function" && lazyFunctions.includes(first.name)) {
      return this.#lazy(first, { rest, dot, before });
    }
    const args = rest.map((operand) => this.#operand(operand, dot));
    if (before !== undefined) args.push(before.value);
    if (first.kind === "function") {
      return located(call.at, () => this.#ways.call(first.name, args));
    }
    const value = this.#operand(first, dot);
    if (typeof value === "function") return located(call.at, () => value(...args) as unknown);
    if (args.length === 0) return value;
    throw refusal(call.at, `${typeWord(value)} takes no arguments: put a function before it`);
  }

  /** The first that is false (`and`) or true (`or`), else the last: the others are not looked at. */
  #lazy(
    { name, at }: Extract<Operand, { kind: "function" }>,
    given: {
      readonly rest: readonly Operand[];
      readonly dot: unknown;
      readonly before: { readonly value: unknown } | undefined;
    },
  ): unknown {
    const { rest, dot, before } = given;
    if (rest.length === 0 && before === undefined) {
      throw refusal(at, `"${name}" takes at least 1 values, not 0`);
    }
    let value: unknown;
    for (const operand of rest) {
      value = this.#operand(operand, dot);
      if (isTrue(value) === (name === "or")) return value;
    }
    return before === undefined ? value : before.value;
  }

  #operand(operand: Operand, dot: unknown): unknown {
    switch (operand.kind) {
      case "literal":
        return operand.value;
      case "function":
        return this.#call({ at: operand.at, operands: [operand] }, dot, undefined);
      case "path":
        return operand.names.reduce<unknown>(
          (value, name) => this.#field(value, name, operand.at),
          this.#base(operand, dot),
        );
    }
  }

  #base({ base }: Extract<Operand, { kind: "path" }>, dot: unknown): unknown {
    if (base.kind === "dot") return dot;
    if (base.kind === "pipe") return this.#pipe(base.pipe, dot);
    return this.#variables.findLast(({ name }) => name === base.name)?.value;
  }

  #field(value: unknown, name: string, at: number): unknown {
    if (value instanceof Map) return value.get(name) ?? null;
    // What is not set has no fields that are.
    if (value === null || value === undefined) return null;
    if (typeof value !== "object" || Array.isArray(value)) {
      throw refusal(at, `${typeWord(value)} has no field ".${name}"`);
    }
    const object = value as Readonly<Record<string, unknown>>;
    const found = this.#ways.lookup(object, name);
    if (found !== undefined) return found;
    const names = Object.keys(object);
    const near = nearMiss(name, names);
    const meant = near === undefined ? ": there" : `, did you mean .${near}? There`;
    throw refusal(at, `There is no field ".${name}"${meant} are ${names.join(", ")}`);
  }

  #set(name: string, value: unknown, declares: boolean): void {
    const known = this.#variables.findLast((variable) => variable.name === name);
    if (declares || known === undefined) this.#variables.push({ name, value });
    else known.value = value;
  }
}

function* rangeOf(value: unknown, at: number): Generator<[unknown, unknown]> {
  if (value === null || value === undefined) return;
  if (Array.isArray(value)) yield* value.entries();
  else if (value instanceof Map) yield* entriesOf(value);
  else if (typeof value === "number" && Number.isInteger(value)) {
    for (let index = 0; index < value; index += 1) yield [index, index];
  } else
    throw refusal(at, `{{range}} goes over lists, maps and numbers, not over ${typeWord(value)}`);
}

function located(at: number, call: () => unknown): unknown {
  try {
    return call();
  } catch (thrown) {
    if (thrown instanceof Fault) throw refusal(at, thrown.message);
    throw thrown;
  }
}
