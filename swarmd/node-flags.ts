/** The flags by which an administrator says of a host what the daemon cannot find out: its labels, its generic resources. */
import { Fault } from "#proto/fault.ts";
import type { FlagDoc } from "#proto/flag-doc.ts";
import type { GenericResource } from "#proto/gen/swarm/v1/types_pb.ts";
import { parseGenericResources } from "#proto/generic-resource.ts";

export interface NodeSettings {
  readonly genericResources: readonly GenericResource[];
  /** `engine.labels` of constraints. */
  readonly labels: Readonly<Record<string, string>>;
}

export const nodeFlags = {
  "generic-resource": { type: "string", multiple: true },
  label: { type: "string", multiple: true },
} as const;

export type NodeFlagValues = Readonly<Record<keyof typeof nodeFlags, readonly string[]>>;

export const nodeFlagDocs: readonly FlagDoc[] = [
  {
    name: "generic-resource",
    argument: "KIND=WHAT",
    text: "what services may reserve here: a count (ssd=4), or pieces by name (gpu=UUID1); several with commas between them; may be repeated",
    default: [],
    otherwise: "nothing",
    example: ["ssd=4", "gpu=UUID1,gpu=UUID2"],
  },
  {
    name: "label",
    argument: "NAME=VALUE",
    text: "what constraints know as engine.labels.NAME; may be repeated",
    default: [],
    otherwise: "none",
    example: { disk: "ssd" },
  },
];

export function parseNodeFlags(values: NodeFlagValues): NodeSettings {
  return {
    genericResources: describing("--generic-resource", () =>
      parseGenericResources(values["generic-resource"]),
    ),
    labels: describing("--label", () => Object.fromEntries(values.label.map(parseLabel))),
  };
}

function describing<T>(flag: string, work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    throw Fault.wrap(flag, thrown);
  }
}

/** As Docker: a label without "=" is empty. */
function parseLabel(text: string): readonly [string, string] {
  const at = text.indexOf("=");
  const name = (at < 0 ? text : text.slice(0, at)).trim();
  if (name === "" || /\s/.test(name)) {
    throw new Fault("invalid-argument", `"${text}" is not NAME=VALUE`);
  }
  return [name, at < 0 ? "" : text.slice(at + 1)];
}
