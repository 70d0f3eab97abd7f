/** The flags by which an administrator says of a host what the daemon cannot find out: its labels, its generic resources. */
import { Fault } from "#proto/fault.ts";
import type { GenericResource } from "#proto/gen/swarm/v1/types_pb.ts";
import { parseGenericResources } from "#proto/generic-resource.ts";

export interface NodeSettings {
  readonly genericResources: readonly GenericResource[];
  /** `engine.labels` of constraints. */
  readonly labels: Readonly<Record<string, string>>;
}

export const nodeFlags = {
  "generic-resource": { type: "string", multiple: true, default: [] as string[] },
  label: { type: "string", multiple: true, default: [] as string[] },
} as const;

export type NodeFlagValues = Readonly<Record<keyof typeof nodeFlags, readonly string[]>>;

export const nodeFlagsHelp = `\
  --generic-resource KIND=WHAT  what services may reserve here: a count (ssd=4), or pieces by name (gpu=UUID1);
                                several with commas between them or with the flag again
  --label NAME=VALUE            what constraints know as engine.labels.NAME; repeatable
`;

export function parseNodeFlags(values: NodeFlagValues): NodeSettings {
  try {
    return {
      genericResources: parseGenericResources(values["generic-resource"]),
      labels: Object.fromEntries(values.label.map(parseLabel)),
    };
  } catch (thrown) {
    throw Fault.wrap("Cannot describe this host", thrown);
  }
}

/** As Docker: a label without "=" is empty. */
function parseLabel(text: string): readonly [string, string] {
  const at = text.indexOf("=");
  const name = (at < 0 ? text : text.slice(0, at)).trim();
  if (name === "" || /\s/.test(name)) {
    throw new Fault("invalid-argument", `--label "${text}" is not NAME=VALUE`);
  }
  return [name, at < 0 ? "" : text.slice(at + 1)];
}
