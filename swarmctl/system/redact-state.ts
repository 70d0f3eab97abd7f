/**
 * Objects of the cluster, as JSON, for the eyes of others: without what secrets, configs and keys hold, and without values whose
 * names sound like secrets, in environments, options, labels and command lines. Pure.
 */
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { isSecretName, redacted, redactText } from "#proto/redact.ts";

/** Fields that hold keys, tokens, or what users wish to keep to themselves. */
const secretFields: ReadonlySet<string> = new Set([
  "caKey",
  "data",
  "joinTokens",
  "payload",
  "registryAuth",
  "signingCaKey",
  "unlockKey",
]);

/** Fields whose names sound like secrets, and which are none. */
const openFields: ReadonlySet<string> = new Set([
  "encryptionKey", // public
  "issuerKeyHash",
  "secretId",
  "secretName",
  "sessionId",
  "sessionManagerId",
]);

const wordLists: ReadonlySet<string> = new Set(["args", "command", "test"]);

export function redactState(value: JsonValue): JsonValue {
  return redactField("", value);
}

function redactField(name: string, value: JsonValue): JsonValue {
  if (Array.isArray(value)) return redactList(name, value);
  if (typeof value === "string") return redactText(value);
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).map(([key, inner]): [string, JsonValue] => [
    key,
    isSecret(key, inner) ? redacted : redactField(key, inner),
  ]);
  return Object.fromEntries(fields) satisfies JsonObject;
}

function isSecret(key: string, value: JsonValue): boolean {
  if (secretFields.has(key)) return true;
  return typeof value === "string" && isSecretName(key) && !openFields.has(key);
}

function redactList(name: string, list: readonly JsonValue[]): JsonValue[] {
  if (name === "env") return list.map(redactAssignment);
  if (!wordLists.has(name)) return list.map((item) => redactField("", item));
  return list.map((word, index) => {
    const before = list[index - 1];
    const told = typeof before === "string" && /^--?[^=\s]+$/.test(before) && isSecretName(before);
    return told ? redacted : redactAssignment(word);
  });
}

/** NAME=VALUE, --name=VALUE; a text without a name is looked at as any other. */
function redactAssignment(item: JsonValue): JsonValue {
  if (typeof item !== "string") return redactField("", item);
  const [, name] = /^([^=\s]+)=/.exec(item) ?? [];
  return name !== undefined && isSecretName(name) ? `${name}=${redacted}` : redactText(item);
}
