/** One file against the schema of the whole format. Of several problems the one that stands first in the file is told. */
import { Ajv, type ErrorObject } from "ajv";
import type { Fault } from "#proto/fault.ts";
import { nearMiss } from "#proto/near-miss.ts";
import { ComposeDocument } from "./document.ts";
import { settle } from "./merge.ts";
import { type MapNode, type Node, type Path, refusalAt, toValue } from "./node.ts";
import { stackSchema } from "./stack-schema.ts";

// Compiling takes longer than checking many files. Its errors are read right after the call that left them.
const validate = new Ajv({ allowUnionTypes: true, allErrors: true, verbose: true }).compile(
  stackSchema,
);

interface CheckOptions {
  /** Whether variables stay as they are: then a text that has some may stand anywhere. */
  readonly raw: boolean;
}

export function checkFile(root: Node, { raw }: CheckOptions): MapNode {
  if (root.kind !== "map") throw refusalAt(root.place, [], "must be a map");
  if (validate(toValue(settle(root)))) return root;
  const errors = (validate.errors ?? []).filter(
    ({ data }) => !(raw && typeof data === "string" && data.includes("$")),
  );
  if (errors.length > 0) throw firstFault(new ComposeDocument(root), errors);
  return root;
}

interface Problem {
  readonly path: Path;
  readonly complaint: string;
}

function firstFault(document: ComposeDocument, errors: readonly ErrorObject[]): Fault {
  let first: { readonly problem: Problem; readonly offset: number } | undefined;
  for (const problem of errors.map(problemOf)) {
    const { offset } = document.place(problem.path);
    if (first === undefined || offset < first.offset) first = { problem, offset };
  }
  const { path, complaint } = first?.problem ?? { path: [], complaint: "is not a stack file" };
  return document.fault(path, complaint);
}

function problemOf({ keyword, instancePath, params, parentSchema }: ErrorObject): Problem {
  const path = parseJsonPointer(instancePath);
  if (keyword === "additionalProperties") {
    const key = String(params["additionalProperty"]);
    return { path: [...path, key], complaint: unknownKey(key, parentSchema?.["properties"]) };
  }
  if (keyword === "required") {
    return { path, complaint: `has no ${String(params["missingProperty"])}` };
  }
  return { path, complaint: `must be ${String(parentSchema?.["description"])}` };
}

function unknownKey(key: string, properties: unknown): string {
  const meant = nearMiss(key, Object.keys(properties ?? {})) ?? insideOf(key, properties);
  return `is not known${meant === undefined ? "" : `: did you mean ${meant}?`}`;
}

/** A key that was written one level too far out: `deploy.replicas`. */
function insideOf(key: string, properties: unknown): string | undefined {
  const outer = Object.keys(properties ?? {}).find((name) => {
    const inner: unknown = Object(Object(properties)[name]).properties;
    return Object.hasOwn(Object(inner), key);
  });
  return outer === undefined ? undefined : `${outer}.${key}`;
}

/** RFC 6901 */
function parseJsonPointer(pointer: string): string[] {
  return pointer
    .split("/")
    .slice(1)
    .map((segment) => segment.replaceAll("~1", "/").replaceAll("~0", "~"));
}
