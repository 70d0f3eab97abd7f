/** What the schemas of stack files are made of. Each description ends the sentence "services.web.image must be …". */

export const text = { type: "string", description: "a string" } as const;
export const flag = { type: "boolean", description: "true or false" } as const;
export const scalar = {
  type: ["string", "number", "boolean"],
  description: "a string, number or boolean",
} as const;
export const word = {
  type: ["string", "integer"],
  description: "a string or a whole number",
} as const;
export const words = {
  type: ["string", "array"],
  items: text,
  description: "a string or a list of strings",
} as const;
export const pairs = {
  type: ["object", "array"],
  additionalProperties: scalar,
  items: { type: "string", pattern: "^[^=]+=", description: "KEY=value" },
  description: "a map or a list of KEY=value",
} as const;
export const labels = {
  ...pairs,
  items: { type: "string", pattern: "^[^=]+", description: "KEY=value" },
} as const;

/** A map with these keys, extensions and no others. */
export function map(
  properties: Readonly<Record<string, unknown>>,
  required: readonly string[] = [],
) {
  return {
    type: "object",
    properties,
    required,
    patternProperties: { "^x-": {} },
    additionalProperties: false,
    description: "a map",
  };
}

/** A map from names to `item`s. */
export function named(item: unknown) {
  return { type: "object", additionalProperties: item, description: "a map" };
}

export function orNull(item: ReturnType<typeof map>) {
  return { ...item, type: ["object", "null"] };
}
