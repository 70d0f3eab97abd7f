/** A node for people, in the order of Docker's `node inspect --pretty`. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { GenericResource } from "#proto/gen/swarm/v1/types_pb.ts";
import { formatMemory } from "../output/size.ts";
import { visible } from "../output/table.ts";
import { availabilityWord, managerWord, stateWord } from "./words.ts";

type Line = readonly [indent: number, key: string, value?: string];

const valueColumn = 24;

export function prettyNode(node: Node): string {
  return [...identityLines(node), ...statusLines(node), ...managerLines(node), ...hostLines(node)]
    .map(([indent, key, value]) => {
      const begin = `${" ".repeat(indent)}${key}${value === undefined ? "" : ":"}`;
      return value === undefined ? begin : `${begin.padEnd(valueColumn)}${value}`.trimEnd();
    })
    .map(visible)
    .join("\n");
}

function identityLines({ id, spec, meta, description }: Node): Line[] {
  const labels = Object.entries(spec?.annotations?.labels ?? {});
  const joined = meta?.createdAt;
  return [
    [0, "ID", id],
    ...(labels.length > 0 ? [[0, "Labels:"] as const] : []),
    ...labels.map(([key, value]): Line => [1, `- ${key}=${value}`]),
    [0, "Hostname", description?.hostname ?? ""],
    ...(joined === undefined
      ? []
      : [[0, "Joined at", new Date(timestampMs(joined)).toISOString()] as const]),
  ];
}

function statusLines({ status, spec }: Node): Line[] {
  return [
    [0, "Status:"],
    [1, "State", stateWord(status)],
    ...(status?.message ? [[1, "Message", status.message] as const] : []),
    [1, "Availability", availabilityWord(spec?.availability)],
    [1, "Address", status?.address ?? ""],
  ];
}

function managerLines({ managerStatus }: Node): Line[] {
  if (managerStatus === undefined) return [];
  const { leader, address } = managerStatus;
  return [
    [0, "Manager Status:"],
    [1, "Address", address],
    [1, "Raft Status", leader ? "Reachable" : managerWord(managerStatus)],
    [1, "Leader", leader ? "Yes" : "No"],
  ];
}

function hostLines({ description }: Node): Line[] {
  const { platform, resources, engine } = description ?? {};
  const labels = Object.entries(engine?.labels ?? {});
  return [
    [0, "Platform:"],
    [1, "Operating System", platform?.os ?? ""],
    [1, "Architecture", platform?.architecture ?? ""],
    [0, "Resources:"],
    [1, "CPUs", String(Number(resources?.nanoCpus ?? 0n) / 1e9)],
    [1, "Memory", formatMemory(Number(resources?.memoryBytes ?? 0n))],
    ...(resources?.generic ?? []).map((resource): Line => [1, ...genericWords(resource)]),
    [0, "Engine Version", engine?.engineVersion ?? ""],
    ...(labels.length > 0 ? [[0, "Engine Labels:"] as const] : []),
    ...labels.map(([key, value]): Line => [1, `- ${key}=${value}`]),
  ];
}

function genericWords({ resource }: GenericResource): [key: string, value: string] {
  return [resource.value?.kind ?? "", String(resource.value?.value ?? "")];
}
