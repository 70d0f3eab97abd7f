/**
 * A template's text as pieces: what is printed as it stands, and the tokens of each `{{…}}`. Positions count characters of
 * the whole text from 0; people are told them from 1.
 */
import { Fault } from "#proto/fault.ts";

export type Token =
  | { readonly kind: "field" | "variable" | "word"; readonly name: string; readonly at: number }
  | { readonly kind: "literal"; readonly value: string | number; readonly at: number }
  | { readonly kind: Sign; readonly at: number };

export type Sign = "." | "(" | ")" | "|" | ":=" | "=" | ",";

export type Piece =
  | { readonly kind: "text"; readonly text: string }
  | {
      readonly kind: "action";
      readonly tokens: readonly Token[];
      /** Where tokens end, so that `(a).B` is told from `(a) .B`. */
      readonly ends: readonly number[];
      readonly at: number;
      readonly end: number;
    };

export function refusal(at: number, problem: string): Fault {
  return new Fault("invalid-argument", `At character ${at + 1} of the template: ${problem}`);
}

export function lexTemplate(source: string): Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  let trimsNext = false;
  for (;;) {
    const open = source.indexOf("{{", at);
    const text = open < 0 ? source.slice(at) : source.slice(at, open);
    const trimsBefore = open >= 0 && /^\{\{-\s/.test(source.slice(open, open + 4));
    const begun = trimsNext ? text.trimStart() : text;
    const kept = trimsBefore ? begun.trimEnd() : begun;
    if (kept !== "") pieces.push({ kind: "text", text: kept });
    if (open < 0) return pieces;
    const action = lexAction(source, open, open + (trimsBefore ? 3 : 2));
    if (action.kept) pieces.push(action.piece);
    trimsNext = action.trims;
    at = action.piece.end;
  }
}

interface Action {
  readonly piece: Extract<Piece, { kind: "action" }>;
  /** False for a comment. */
  readonly kept: boolean;
  readonly trims: boolean;
}

const comment = /\s*\/\*.*?\*\/(\s+-)?\}\}/sy;
const end = /\s*?(\s-)?\}\}/y;

function lexAction(source: string, open: number, start: number): Action {
  const piece = { kind: "action", at: open } as const;
  comment.lastIndex = start;
  const remark = comment.exec(source);
  if (remark !== null) {
    const closed = { ...piece, tokens: [], ends: [], end: comment.lastIndex };
    return { piece: closed, kept: false, trims: remark[1] !== undefined };
  }
  const [tokens, ends]: [Token[], number[]] = [[], []];
  let at = start;
  for (;;) {
    end.lastIndex = at;
    const close = end.exec(source);
    if (close !== null) {
      const closed = { ...piece, tokens, ends, end: end.lastIndex };
      return { piece: closed, kept: true, trims: close[1] !== undefined };
    }
    while (/\s/.test(source.charAt(at))) at += 1;
    if (at >= source.length) throw refusal(open, "This {{ has no }}");
    const [token, next] = lexToken(source, at);
    tokens.push(token);
    ends.push(next);
    at = next;
  }
}

const name = /[\p{L}_][\p{L}\p{Nd}_]*/uy;
const number =
  /(?:0[xX][0-9a-fA-F]+|[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|[+-]?\.\d+)(?![\p{L}\p{Nd}_])/uy;
const quoted = /"(?:[^"\\\n]|\\.)*"/y;
const raw = /`([^`]*)`/y;
const sign = /:=|[.()|=,]/y;

function lexToken(source: string, at: number): [Token, number] {
  const first = source.charAt(at);
  if (first === '"') {
    const text = match(quoted, source, at);
    if (text === undefined) throw refusal(at, "This string has no end");
    return [{ kind: "literal", value: unquote(text, at), at }, at + text.length];
  }
  if (first === "`") {
    const text = match(raw, source, at);
    if (text === undefined) throw refusal(at, "This string has no end");
    return [{ kind: "literal", value: text.slice(1, -1), at }, at + text.length];
  }
  const digits = match(number, source, at);
  if (digits !== undefined)
    return [{ kind: "literal", value: Number(digits), at }, at + digits.length];
  if (first === "." || first === "$") {
    const word = match(name, source, at + 1);
    const kind = first === "." ? "field" : "variable";
    if (word !== undefined) return [{ kind, name: word, at }, at + 1 + word.length];
    if (first === "$") return [{ kind, name: "", at }, at + 1];
  }
  const word = match(name, source, at);
  if (word !== undefined) return [{ kind: "word", name: word, at }, at + word.length];
  const mark = match(sign, source, at);
  if (mark !== undefined) return [{ kind: mark as Sign, at }, at + mark.length];
  throw refusal(at, `"${String.fromCodePoint(source.codePointAt(at) ?? 0)}" has no meaning here`);
}

function match(pattern: RegExp, source: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(source)?.[0];
}

const escapes: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
  '"': '"',
};

/** Go's escapes. */
function unquote(text: string, at: number): string {
  const pattern = /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|([0-7]{3})|(.))/gs;
  return text.slice(1, -1).replace(pattern, (...found: (string | undefined)[]) => {
    const [whole = "", hex, unicode, octal, letter = ""] = found;
    const digits = hex ?? unicode;
    if (digits !== undefined) return String.fromCharCode(Number.parseInt(digits, 16));
    if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8));
    const meant = escapes[letter];
    if (meant === undefined) throw refusal(at, `"${whole}" is no escape in a string`);
    return meant;
  });
}
