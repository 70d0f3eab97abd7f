/** A stack file as text → the same as a checked value: what `stackSchema` describes, without a variable left in it. */
import { Ajv, type ErrorObject } from "ajv";
import type { Fault } from "#proto/fault.ts";
import type { ComposeContent, ComposeFile } from "./compose-file.ts";
import { ComposeDocument } from "./document.ts";
import { resolveDollars } from "./interpolate.ts";
import { type Path, toValue } from "./node.ts";
import { readYaml } from "./read-yaml.ts";
import { stackSchema } from "./stack-schema.ts";

// Compiling takes longer than checking many files. Its errors are read right after the call that left them.
const validate = new Ajv({
  allowUnionTypes: true,
  allErrors: true,
  verbose: true,
}).compile<ComposeContent>(stackSchema);

export function loadCompose(source: string, file: string): ComposeFile {
  const document = new ComposeDocument(resolveDollars(readYaml(source, file)));
  const content = toValue(document.root);
  if (!validate(content)) throw firstFault(document, validate.errors ?? []);
  return { content, document };
}

interface Problem {
  readonly path: Path;
  readonly complaint: string;
}

/** Of several problems the one that stands first in the file. */
function firstFault(document: ComposeDocument, errors: readonly ErrorObject[]): Fault {
  const [first] = errors
    .map(problemOf)
    .toSorted((a, b) => document.place(a.path).offset - document.place(b.path).offset);
  return document.fault(first?.path ?? [], first?.complaint ?? "is not a stack file");
}

function problemOf({ keyword, instancePath, params, parentSchema }: ErrorObject): Problem {
  const path = parseJsonPointer(instancePath);
  if (keyword === "additionalProperties") {
    return { path: [...path, String(params["additionalProperty"])], complaint: "is not supported" };
  }
  if (keyword === "required") {
    return { path, complaint: `has no ${String(params["missingProperty"])}` };
  }
  return { path, complaint: `must be ${String(parentSchema?.["description"])}` };
}

/** RFC 6901 */
function parseJsonPointer(pointer: string): string[] {
  return pointer
    .split("/")
    .slice(1)
    .map((segment) => segment.replaceAll("~1", "/").replaceAll("~0", "~"));
}
