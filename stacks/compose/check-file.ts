/** One file against the schema of the whole format. Of several problems the one that stands first in the file is told. */
import { Ajv } from "ajv";
import { YamlDocument } from "#proto/yaml/document.ts";
import { settle } from "./merge.ts";
import { type MapNode, type Node, refusalAt, toValue } from "#proto/yaml/node.ts";
import { schemaFault } from "#proto/yaml/schema-fault.ts";
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
  if (errors.length > 0) throw schemaFault(new YamlDocument(root), errors);
  return root;
}
