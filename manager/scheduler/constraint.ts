/**
 * Placement constraints in Swarm's grammar: `KEY==VALUE` or `KEY!=VALUE`, all of which a node must meet. Keys and values are
 * compared without regard to case, names of labels with it. What a node does not have is the empty text: `==` is not met
 * then, `!=` is.
 *
 * Unlike Swarm, which takes any key and then finds no node, unknown keys are refused.
 */
import { Fault } from "#proto/fault.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import { nearMiss } from "#proto/near-miss.ts";
import {
  type Address,
  bitsOf,
  contains,
  isAnyAddress,
  parseAddress,
  type Subnet,
} from "../allocator/subnet.ts";
import { architectureOf } from "./platform.ts";

export interface Constraint {
  /** As the user wrote it. */
  readonly text: string;
  readonly isMet: (node: Node) => boolean;
}

export type ReadNode = (node: Node) => string;

/** What is compared as text. `node.ip` is not. */
const readers: Readonly<Record<string, ReadNode>> = {
  "node.id": ({ id }) => id,
  "node.hostname": ({ description }) => description?.hostname ?? "",
  "node.role": ({ role }) => (role === NodeRole.MANAGER ? "manager" : "worker"),
  "node.platform.os": ({ description }) => description?.platform?.os ?? "",
  "node.platform.arch": ({ description }) =>
    architectureOf(description?.platform?.architecture ?? ""),
};

const addressKey = "node.ip";
const constraintKeys = [...Object.keys(readers), addressKey];

const labelReaders: Readonly<Record<string, (label: string) => ReadNode>> = {
  "node.labels.":
    (label) =>
    ({ spec }) =>
      own(spec?.annotations?.labels, label),
  "engine.labels.":
    (label) =>
    ({ description }) =>
      own(description?.engine?.labels, label),
};

/** Swarm's. */
const keyPattern = /^[a-z_][a-z0-9\-_.]+$/i;
const valuePattern = /^[a-z0-9:\-_\s.*()?+[\]\\^$|/]+$/i;
const operators = ["==", "!="] as const;

/** Throws a Fault for the first that cannot be read. */
export function parseConstraints(texts: readonly string[]): readonly Constraint[] {
  return texts.map(parseConstraint);
}

/**
 * Of constraints that are in the store already those that this version can read. A newer manager may have let in others: where
 * a task is placed they are an obstacle (`constraintProblem`), and what runs they do not move.
 */
export function readableConstraints(texts: readonly string[]): readonly Constraint[] {
  return texts.flatMap((text) => {
    const read = readConstraint(text);
    return read instanceof Fault ? [] : [read];
  });
}

/** What keeps tasks from being placed: the first constraint that this version cannot read. */
export function constraintProblem(texts: readonly string[]): string | undefined {
  return texts.map(readConstraint).find((read) => read instanceof Fault)?.message;
}

function readConstraint(text: string): Constraint | Fault {
  try {
    return parseConstraint(text);
  } catch (thrown) {
    return Fault.from(thrown);
  }
}

export function meetsConstraints(node: Node, constraints: readonly Constraint[]): boolean {
  return constraints.every(({ isMet }) => isMet(node));
}

/**
 * What reads a node's value for a key that tasks are spread over: a label's, or any other that is compared as text. Swarm knows
 * labels alone and ignores the others, of which files in the wild have `node.id` and `node.hostname`.
 */
export function parseSpreadKey(key: string): ReadNode {
  const read = findSpreadKey(key);
  if (read !== undefined) return read;
  throw new Fault(
    "invalid-argument",
    `"${key}" is nothing to spread over: ${allowedKeys(key, Object.keys(readers))}`,
  );
}

/** Undefined for what is not compared as text, and for what there is not. */
export function findSpreadKey(key: string): ReadNode | undefined {
  const name = key.toLowerCase();
  if (Object.hasOwn(readers, name)) return readers[name];
  for (const [prefix, labelReader] of Object.entries(labelReaders)) {
    const isLabel = name.startsWith(prefix) && key.length > prefix.length;
    if (isLabel) return labelReader(key.slice(prefix.length));
  }
  return undefined;
}

function parseConstraint(text: string): Constraint {
  const operator = operators.find((one) => text.includes(one));
  if (operator === undefined) {
    throw refusal(text, `has no operator: write KEY==VALUE or KEY!=VALUE`);
  }
  const at = text.indexOf(operator);
  const key = text.slice(0, at).trim();
  const value = text.slice(at + operator.length).trim();
  if (!keyPattern.test(key))
    throw refusal(text, `has the key "${key}": ${allowedKeys(key, constraintKeys)}`);
  if (!valuePattern.test(value)) {
    const problem =
      value === ""
        ? "has no value: write KEY==VALUE or KEY!=VALUE"
        : `has the value "${value}": use letters, digits, spaces and : - _ . / * ( ) ? + [ ] \\ ^ $ |`;
    throw refusal(text, problem);
  }
  const equals = matcherOf(text, key, value);
  return { text, isMet: operator === "==" ? equals : (node) => !equals(node) };
}

function matcherOf(text: string, key: string, value: string): (node: Node) => boolean {
  const name = key.toLowerCase();
  if (name === addressKey) return addressMatcher(text, value);
  const read = findSpreadKey(key);
  if (read === undefined)
    throw refusal(text, `has the key "${key}": ${allowedKeys(key, constraintKeys)}`);
  const folded = value.toLowerCase();
  if (name === "node.role" && folded !== "manager" && folded !== "worker") {
    throw refusal(text, `has the role "${value}": use manager or worker`);
  }
  const wanted = name === "node.platform.arch" ? architectureOf(folded) : folded;
  return (node) => read(node).toLowerCase() === wanted;
}

/** The address from which the node's session comes: one, or any of a subnet, whose host bits do not matter. */
function addressMatcher(text: string, value: string): (node: Node) => boolean {
  const subnet = subnetOf(value);
  if (subnet === undefined) {
    throw refusal(text, `has the value "${value}": use an IP address or a subnet like 10.1.0.0/16`);
  }
  return ({ status }) => {
    const address = status?.address ?? "";
    return isAnyAddress(address) && contains(subnet, parseAddress(address));
  };
}

/** An address alone is a subnet of one. */
function subnetOf(value: string): Subnet | undefined {
  const match = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(value);
  if (match?.[1] === undefined || !isAnyAddress(match[1])) return undefined;
  const { family, value: bits }: Address = parseAddress(match[1]);
  const prefix = match[2] === undefined ? bitsOf(family) : Number(match[2]);
  if (prefix > bitsOf(family)) return undefined;
  const hostBits = BigInt(bitsOf(family) - prefix);
  return { family, base: (bits >> hostBits) << hostBits, prefix };
}

/** `known`: what there is beside labels. */
function allowedKeys(key: string, known: readonly string[]): string {
  const near = nearMiss(key.toLowerCase(), known);
  if (near !== undefined) return `did you mean "${near}"?`;
  // The label's name is the user's own; only what stands before it can be a slip.
  const [, prefix = "", label = ""] = /^([^.]*\.[^.]*\.)(.+)$/.exec(key) ?? [];
  const nearPrefix = nearMiss(prefix.toLowerCase(), Object.keys(labelReaders));
  if (nearPrefix !== undefined) return `did you mean "${nearPrefix}${label}"?`;
  return `use ${known.join(", ")}, node.labels.NAME or engine.labels.NAME`;
}

function own(labels: Readonly<Record<string, string>> | undefined, label: string): string {
  return labels !== undefined && Object.hasOwn(labels, label) ? (labels[label] ?? "") : "";
}

function refusal(text: string, problem: string): Fault {
  return new Fault("invalid-argument", `the constraint "${text}" ${problem}`);
}
