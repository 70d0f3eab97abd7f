/**
 * What ajv finds wrong with a document → one refusal with file, line and, for a key that is not known, the one that was
 * meant. Of several problems the one that stands first in the file is told. Descriptions in the schema end the sentence
 * "services.web.image must be …". The validator must be made with `allErrors` and `verbose`.
 */
import type { ErrorObject } from "ajv";
import type { Fault } from "../fault.ts";
import { nearMiss } from "../near-miss.ts";
import type { YamlDocument } from "./document.ts";
import type { Path } from "./node.ts";

interface Problem {
  readonly path: Path;
  readonly complaint: string;
}

export function schemaFault(document: YamlDocument, errors: readonly ErrorObject[]): Fault {
  let first: { readonly problem: Problem; readonly offset: number } | undefined;
  for (const problem of errors.map(problemOf)) {
    const { offset } = document.place(problem.path);
    if (first === undefined || offset < first.offset) first = { problem, offset };
  }
  const { path, complaint } = first?.problem ?? { path: [], complaint: "is not what it should be" };
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
