/**
 * Texts that stand where the format has only numbers or booleans → numbers and booleans: variables are always texts, and
 * many authors put quotes around numbers. Booleans are those of YAML 1.1, as Docker reads them there.
 */
import { mapEntries, type Node, type Scalar } from "#proto/yaml/node.ts";

/** What is read of a JSON Schema. */
interface Schema {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, unknown>>;
  readonly additionalProperties?: unknown;
  readonly items?: unknown;
}

export function castScalars(node: Node, schema: unknown): Node {
  if (!isSchema(schema)) return node;
  switch (node.kind) {
    case "scalar": {
      const value = typeof node.value === "string" ? cast(node.value, schema) : undefined;
      return value === undefined ? node : { ...node, value };
    }
    case "list":
      return { ...node, items: node.items.map((item) => castScalars(item, schema.items)) };
    case "map":
      return mapEntries(node, (child, key) => {
        const { properties = {}, additionalProperties } = schema;
        const inner = Object.hasOwn(properties, key) ? properties[key] : additionalProperties;
        return castScalars(child, inner);
      });
  }
}

function isSchema(schema: unknown): schema is Schema {
  return typeof schema === "object" && schema !== null;
}

const booleans = new Map<string, boolean>([
  ...["true", "y", "yes", "on"].map((word) => [word, true] as const),
  ...["false", "n", "no", "off"].map((word) => [word, false] as const),
]);

/** Undefined where the text stays as it is. */
function cast(text: string, { type = [] }: Schema): Scalar | undefined {
  if (type.includes("string")) return undefined;
  if (type.includes("boolean")) return booleans.get(text.toLowerCase());
  if (type.includes("integer")) return /^[-+]?\d{1,15}$/.test(text) ? Number(text) : undefined;
  if (!type.includes("number")) return undefined;
  return /^[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?$/i.test(text) ? Number(text) : undefined;
}
