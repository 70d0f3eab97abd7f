/**
 * A message as templates see it: a plain object with every field that there is, so that a misspelt one is told from one
 * that is not set. Enums are their words ("running"), times as RFC 3339, durations as "10s", maps as Maps.
 */
import type { DescEnum, DescField, DescMessage, MessageShape } from "@bufbuild/protobuf";
import { toJson } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import type { Lookup } from "./template/template.ts";

type MessageValue = Readonly<Record<string, unknown>>;

export function messageValue<D extends DescMessage>(
  schema: D,
  message: MessageShape<D>,
): MessageValue {
  return objectOf(reflect(schema, message));
}

function objectOf(message: ReflectMessage): MessageValue {
  return Object.fromEntries(
    message.fields.map((field) => [field.localName, fieldOf(message, field)]),
  );
}

function fieldOf(message: ReflectMessage, field: DescField): unknown {
  switch (field.fieldKind) {
    case "message":
      return message.isSet(field) ? valueOf(message.get(field)) : null;
    case "list":
      return [...message.get(field)].map((item) =>
        field.listKind === "enum" ? enumWord(field.enum, item) : valueOf(item),
      );
    case "map":
      return new Map([...message.get(field)].map(([key, value]) => [String(key), valueOf(value)]));
    case "enum":
      return message.isSet(field) || field.oneof === undefined
        ? enumWord(field.enum, message.get(field))
        : null;
    default:
      return message.isSet(field) || field.oneof === undefined ? valueOf(message.get(field)) : null;
  }
}

function valueOf(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("base64");
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  if (!isReflected(value)) return value;
  // Google's own have a form of their own in JSON, which people read.
  if (value.desc.typeName.startsWith("google.protobuf.")) return toJson(value.desc, value.message);
  return objectOf(value);
}

function isReflected(value: unknown): value is ReflectMessage {
  return typeof value === "object" && value !== null && "desc" in value && "message" in value;
}

/** UPDATE_STATE_ROLLBACK_STARTED is "rollback_started". */
function enumWord({ values, sharedPrefix = "" }: DescEnum, number: unknown): string {
  const value = values.find((one) => one.number === number);
  if (value === undefined) return String(number);
  const name = value.name.toLowerCase();
  return name.startsWith(sharedPrefix) ? name.slice(sharedPrefix.length) : name;
}

/** Docker's names of what has another one here. */
const otherNames: Readonly<Record<string, string>> = {
  TaskTemplate: "task",
  ContainerSpec: "container",
  EndpointSpec: "endpoint",
  UpdateConfig: "update",
  RollbackConfig: "rollback",
  RestartPolicy: "restart",
  ForceUpdate: "forceUpdate",
  NanoCPUs: "nanoCpus",
  VirtualIPs: "virtualIps",
  NetworkID: "networkId",
  Addr: "address",
  ContainerStatus: "container",
  NetworksAttachments: "networks",
  IPAMOptions: "ipam",
  Config: "configs",
  Role: "desiredRole",
};

/** Docker has these messages' fields in the object that holds them; of networks and volumes also the spec's. */
const embedded: readonly string[] = ["annotations", "meta", "spec"];

/** A field by its name here, by the same with a capital, or by Docker's: `{{.Spec.Name}}`, `{{.Spec.TaskTemplate}}`. */
export const messageField: Lookup = (object, name) => {
  const lower = name.toLowerCase();
  const own = Object.keys(object).find((key) => key.toLowerCase() === lower) ?? otherNames[name];
  if (own !== undefined && Object.hasOwn(object, own)) return object[own];
  // Docker's Mode holds what are fields of the spec here.
  if (name === "Mode" && Object.hasOwn(object, "replicated")) return object;
  // A network's driver is what it has become, not only what was asked for.
  if ((name === "Driver" || name === "Options") && Object.hasOwn(object, "driverState")) {
    const { driverState } = object as { readonly driverState: MessageValue | null };
    return driverState?.[name === "Driver" ? "name" : "options"] ?? null;
  }
  for (const key of embedded) {
    const inner = object[key];
    if (typeof inner !== "object" || inner === null || inner instanceof Map) continue;
    const found = messageField(inner as MessageValue, name);
    if (found !== undefined) return found;
  }
  return undefined;
};
