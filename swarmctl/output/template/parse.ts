/**
 * Templates of Go's text/template, as far as Docker's formats use them: fields, variables, pipelines, calls, if, with,
 * range. `define`, `template` and `block` are refused: one line on a command line has no use for them.
 */
import { nearMiss } from "#proto/near-miss.ts";
import { isFunction, functionNames } from "./functions.ts";
import { lexTemplate, type Piece, refusal, type Sign, type Token } from "./lex.ts";

export type Node =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "pipe"; readonly pipe: Pipe }
  | Branch
  | { readonly kind: "break" | "continue" };

export interface Branch {
  readonly kind: "if" | "with" | "range";
  readonly pipe: Pipe;
  readonly body: readonly Node[];
  readonly otherwise: readonly Node[];
}

/** `$a, $b := first | second | third`. */
export interface Pipe {
  readonly at: number;
  readonly variables: readonly string[];
  readonly declares: boolean;
  readonly calls: readonly Call[];
}

/** What is called, or stands alone, and its arguments. */
export interface Call {
  readonly at: number;
  readonly operands: readonly Operand[];
}

export type Operand = { readonly at: number } & (
  | { readonly kind: "literal"; readonly value: string | number | boolean | null }
  | { readonly kind: "function"; readonly name: string }
  | { readonly kind: "path"; readonly base: Base; readonly names: readonly string[] }
);

export type Base =
  | { readonly kind: "dot" }
  | { readonly kind: "variable"; readonly name: string }
  | { readonly kind: "pipe"; readonly pipe: Pipe };

/** Deeper ones are no formats, and would use up the stack. */
const depthMax = 100;

export function parseTemplate(source: string): Node[] {
  const parser = new Parser(lexTemplate(source));
  return parser.parse();
}

interface Block {
  readonly nodes: Node[];
  /** What ended it: `end`, `else`, or the text's end. */
  readonly ending: Words | undefined;
}

class Parser {
  readonly #pieces: readonly Piece[];
  readonly #variables: string[] = [""];
  #next = 0;
  #depth = 0;
  #ranges = 0;

  constructor(pieces: readonly Piece[]) {
    this.#pieces = pieces;
  }

  parse(): Node[] {
    const { nodes, ending } = this.#block();
    if (ending !== undefined) throw refusal(ending.at, "There is nothing open that this could end");
    return nodes;
  }

  #block(): Block {
    const nodes: Node[] = [];
    for (;;) {
      const piece = this.#pieces[this.#next];
      this.#next += 1;
      if (piece === undefined) return { nodes, ending: undefined };
      if (piece.kind === "text") {
        nodes.push(piece);
        continue;
      }
      const words = new Words(piece, this.#variables);
      const word = words.keyword();
      if (word === "end" || word === "else") return { nodes, ending: words };
      nodes.push(this.#node(word, words));
    }
  }

  #node(word: string | undefined, words: Words): Node {
    switch (word) {
      case "if":
      case "with":
      case "range":
        words.skip();
        return this.#branch(word, words);
      case "break":
      case "continue":
        words.skip();
        words.finish();
        if (this.#ranges === 0) throw refusal(words.at, `{{${word}}} stands in no {{range}}`);
        return { kind: word };
      case "define":
      case "template":
      case "block":
        throw refusal(words.at, `{{${word}}} is not supported: write the template in one piece`);
      default:
        return { kind: "pipe", pipe: words.pipe() };
    }
  }

  #branch(kind: Branch["kind"], words: Words): Branch {
    this.#depth += 1;
    if (this.#depth > depthMax)
      throw refusal(words.at, `More than ${depthMax} levels are too many`);
    const known = this.#variables.length;
    const pipe = words.pipe(kind === "range");
    if (kind === "range") this.#ranges += 1;
    const { nodes: body, ending } = this.#block();
    if (kind === "range") this.#ranges -= 1;
    const otherwise = this.#otherwise(kind, words.at, ending);
    this.#variables.length = known;
    this.#depth -= 1;
    return { kind, pipe, body, otherwise };
  }

  #otherwise(kind: Branch["kind"], at: number, ending: Words | undefined): Node[] {
    if (ending === undefined) throw refusal(at, `This {{${kind}}} has no {{end}}`);
    const isEnd = ending.keyword() === "end";
    ending.skip();
    if (isEnd) {
      ending.finish();
      return [];
    }
    const word = ending.keyword();
    if (word !== undefined && word === kind && kind !== "range") {
      ending.skip();
      return [this.#branch(kind, ending)];
    }
    ending.finish();
    const { nodes, ending: last } = this.#block();
    if (last === undefined) throw refusal(at, `This {{${kind}}} has no {{end}}`);
    if (last.keyword() !== "end") throw refusal(last.at, "There is an {{else}} already");
    last.skip();
    last.finish();
    return nodes;
  }
}

const constants: Readonly<Record<string, boolean | null>> = { true: true, false: false, nil: null };

/** The tokens of one action, read from the left. */
class Words {
  readonly at: number;
  readonly #tokens: readonly Token[];
  readonly #ends: readonly number[];
  readonly #end: number;
  readonly #variables: string[];
  #next = 0;
  #depth = 0;

  constructor(piece: Extract<Piece, { kind: "action" }>, variables: string[]) {
    this.at = piece.at;
    this.#tokens = piece.tokens;
    this.#ends = piece.ends;
    this.#end = piece.end;
    this.#variables = variables;
  }

  keyword(): string | undefined {
    const token = this.#tokens[this.#next];
    return token?.kind === "word" ? token.name : undefined;
  }

  skip(): void {
    this.#next += 1;
  }

  finish(): void {
    const token = this.#tokens[this.#next];
    if (token !== undefined) throw refusal(token.at, `${shown(token)} is one too many`);
  }

  /** All that is left of the action. `pairs`: of a range, which may set two variables. */
  pipe(pairs = false): Pipe {
    const pipe = this.#pipe(pairs);
    this.finish();
    return pipe;
  }

  #pipe(pairs: boolean): Pipe {
    this.#depth += 1;
    const at = this.#at();
    if (this.#depth > depthMax) throw refusal(at, `More than ${depthMax} levels are too many`);
    const { variables, declares } = this.#assignment(pairs);
    const calls = [this.#call()];
    while (this.#takes("|")) calls.push(this.#call());
    for (const { operands, at: callAt } of calls.slice(1)) {
      if (operands[0]?.kind === "literal") {
        throw refusal(callAt, "A value takes nothing: what stands after | must be a function");
      }
    }
    // Known from here on, not in the pipe itself.
    if (declares) this.#variables.push(...variables);
    this.#depth -= 1;
    return { at, variables, declares, calls };
  }

  #assignment(pairs: boolean): Pick<Pipe, "variables" | "declares"> {
    const [first, second, third, fourth] = this.#tokens.slice(this.#next, this.#next + 4);
    if (first?.kind !== "variable") return { variables: [], declares: false };
    if (second?.kind === ":=" || second?.kind === "=") {
      this.#next += 2;
      const declares = second.kind === ":=";
      if (!declares) this.#expectKnown(first);
      return { variables: [first.name], declares };
    }
    if (second?.kind !== ",") return { variables: [], declares: false };
    if (!pairs) throw refusal(second.at, "Only {{range}} sets two variables");
    if (third?.kind !== "variable" || (fourth?.kind !== ":=" && fourth?.kind !== "=")) {
      throw refusal(second.at, "Write $index, $element := …");
    }
    this.#next += 4;
    const declares = fourth.kind === ":=";
    if (!declares) for (const token of [first, third]) this.#expectKnown(token);
    return { variables: [first.name, third.name], declares };
  }

  #call(): Call {
    const at = this.#at();
    const operands: Operand[] = [];
    for (;;) {
      const operand = this.#operand();
      if (operand === undefined) break;
      if (operands.length > 0 && operands[0]?.kind === "literal") {
        throw refusal(operand.at, "A value takes no arguments: put a function before it");
      }
      operands.push(operand);
    }
    if (operands.length > 0) return { at, operands };
    const token = this.#tokens[this.#next];
    throw refusal(at, token === undefined ? "A value is missing" : `${shown(token)} is no value`);
  }

  /** Undefined: none begins here. */
  #operand(): Operand | undefined {
    const token = this.#tokens[this.#next];
    if (token === undefined) return undefined;
    const { at } = token;
    switch (token.kind) {
      case "literal":
        this.#next += 1;
        return { kind: "literal", value: token.value, at };
      case "word":
        this.#next += 1;
        return word(token.name, at);
      case "field":
        return { kind: "path", base: { kind: "dot" }, names: this.#names(at), at };
      case ".":
        this.#next += 1;
        return { kind: "path", base: { kind: "dot" }, names: [], at };
      case "variable": {
        this.#expectKnown(token);
        this.#next += 1;
        const base = { kind: "variable", name: token.name } as const;
        return { kind: "path", base, names: this.#names(this.#lastEnd()), at };
      }
      case "(": {
        this.#next += 1;
        const pipe = this.#pipe(false);
        if (!this.#takes(")")) throw refusal(at, "This ( has no )");
        const base = { kind: "pipe", pipe } as const;
        return { kind: "path", base, names: this.#names(this.#lastEnd()), at };
      }
      default:
        return undefined;
    }
  }

  /** `.A.B`, beginning where the last token ended: after a space it would be another operand. */
  #names(from: number): string[] {
    const names: string[] = [];
    let next = from;
    for (;;) {
      const token = this.#tokens[this.#next];
      if (token?.kind !== "field" || token.at !== next) return names;
      names.push(token.name);
      next = this.#ends[this.#next] ?? next;
      this.#next += 1;
    }
  }

  #takes(sign: Sign): boolean {
    if (this.#tokens[this.#next]?.kind !== sign) return false;
    this.#next += 1;
    return true;
  }

  #expectKnown(token: Extract<Token, { kind: "field" | "variable" | "word" }>): void {
    if (!this.#variables.includes(token.name)) {
      throw refusal(token.at, `There is no variable $${token.name}: set it first, with :=`);
    }
  }

  #at(): number {
    return this.#tokens[this.#next]?.at ?? this.#end - 2;
  }

  #lastEnd(): number {
    return this.#ends[this.#next - 1] ?? 0;
  }
}

function word(name: string, at: number): Operand {
  const constant = Object.hasOwn(constants, name) ? constants[name] : undefined;
  if (constant !== undefined) return { kind: "literal", value: constant, at };
  if (isFunction(name)) return { kind: "function", name, at };
  const near = nearMiss(name, functionNames);
  const meant = near === undefined ? ": there" : `, did you mean ${near}? There`;
  throw refusal(at, `There is no function "${name}"${meant} are ${functionNames.join(", ")}`);
}

function shown(token: Token): string {
  if (token.kind === "literal") return JSON.stringify(token.value);
  const prefix = { field: ".", variable: "$", word: "" };
  if ("name" in token) return `"${prefix[token.kind]}${token.name}"`;
  return `"${token.kind}"`;
}
