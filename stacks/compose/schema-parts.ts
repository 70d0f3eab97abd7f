/**
 * What the schemas of stack files are made of. Each description ends the sentence "services.web.image must be …". A string
 * where a schema knows only numbers or booleans is cast before the check (`cast.ts`).
 */

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
export const texts = { type: "array", items: text, description: "a list of strings" } as const;
export const words = {
  type: ["string", "array"],
  items: text,
  description: "a string or a list of strings",
} as const;
/** `null` where the image's own shall stay. */
export const command = { ...words, type: ["string", "array", "null"] } as const;
/** Without a value: empty, or for variables what the shell has. */
export const pairs = {
  type: ["object", "array"],
  additionalProperties: {
    type: ["string", "number", "boolean", "null"],
    description: "a string, number or boolean",
  },
  items: { type: "string", pattern: "^[^=]+", description: "KEY=value" },
  description: "a map or a list of KEY=value",
} as const;
export const count = {
  type: "integer",
  minimum: 0,
  maximum: Number.MAX_SAFE_INTEGER,
  description: "a whole number of 0 or more",
} as const;
export const whole = { type: "integer", description: "a whole number" } as const;
export const number = { type: "number", description: "a number" } as const;
export const amount = { type: ["string", "number"], description: "an amount such as 64m" } as const;
export const cpus = {
  type: ["string", "number"],
  description: "a number of CPUs such as 0.5",
} as const;
export const duration = { type: "string", description: "a duration such as 5s" } as const;
export const name = { type: "string", minLength: 1, description: "a name" } as const;
export const anything = {} as const;

export function choice(...choices: string[]) {
  const last = choices.slice(-2).join(" or ");
  return { enum: choices, description: [...choices.slice(0, -2), last].join(", ") };
}

/** A map with these keys, extensions and no others. */
export function map(
  properties: Readonly<Record<string, unknown>>,
  required: readonly string[] = [],
) {
  return {
    type: "object",
    properties,
    required,
    patternProperties: { "^x-": anything },
    additionalProperties: false,
    description: "a map",
  };
}

/** A map from names to `item`s. */
export function named(item: unknown) {
  return { type: "object", additionalProperties: item, description: "a map" };
}

/** The same at the top of a file, where nothing may stand below the key. */
export function section(item: unknown) {
  return { ...named(item), type: ["object", "null"] };
}

export function list(items: unknown, description: string) {
  return { type: "array", items, description };
}

export function orNull(item: ReturnType<typeof map>) {
  return { ...item, type: ["object", "null"] };
}

/** A list of strings, or of maps in the long form. */
export function listOf(item: ReturnType<typeof map>, description: string) {
  return list(
    { ...item, type: ["string", "object"], description: "a string or a map" },
    description,
  );
}

/** A list of strings, or a map from the same strings to what else is said of them. */
export function namesOr(item: unknown, description: string) {
  return { type: ["array", "object"], items: text, additionalProperties: item, description };
}
