import { toJson } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import {
  type LocalVolume,
  LocalVolumeSchema,
  VolumeService,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Context } from "../context.ts";
import { flags, type Pair, pair } from "../flags/parse-flag.ts";
import { formatOption, type ListingOptions, printListing } from "../output/listing.ts";
import { formatSize } from "../output/size.ts";
import { addNodeFlag, type NodeFlag, nodeName, onNodes } from "../node-call.ts";

interface Options extends ListingOptions, NodeFlag {
  readonly filter?: Pair[];
  readonly size?: true;
}

interface Row {
  readonly node: Node;
  readonly volume: LocalVolume;
}

export function define(command: Command, context: Context): void {
  addNodeFlag(command)
    .addOption(formatOption())
    .option("-q, --quiet", "print only names, one per line")
    .option("-f, --filter <key=value>", "dangling, driver, label or name (repeat)", flags(filter))
    .option("-s, --size", "show how much each holds, which takes a while")
    .action(async (options: Options) => {
      const withSize = options.size ?? false;
      const answers = await onNodes(context, VolumeService, options, (client) =>
        client.listVolumes({ withSize }),
      );
      const rows = answers.flatMap(({ node, answer }) =>
        answer.volumes.map((volume) => ({ node, volume })),
      );
      print(
        context,
        options,
        rows.filter(({ volume }) => passes(volume, options.filter ?? [])),
      );
    });
}

function print(context: Context, options: Options, rows: readonly Row[]): void {
  printListing(context, options, {
    items: rows,
    id: ({ volume }) => volume.name,
    json: ({ node, volume }) => ({
      node: nodeName(node),
      ...(toJson(LocalVolumeSchema, volume) as object),
    }),
    columns: [
      { title: "NODE", of: ({ node }) => nodeName(node) },
      { title: "DRIVER", of: ({ volume }) => volume.driver },
      { title: "VOLUME NAME", of: ({ volume }) => volume.name },
      ...(options.size
        ? [{ title: "SIZE", of: ({ volume }: Row) => formatSize(Number(volume.sizeBytes)) }]
        : []),
    ],
  });
}

const filters: Readonly<Record<string, (volume: LocalVolume, value: string) => boolean>> = {
  dangling: (volume, value) => !volume.inUse === isTrue(value),
  driver: (volume, value) => volume.driver === value,
  label: ({ labels }, value) => {
    const { key, value: wanted } = pair(value);
    return Object.hasOwn(labels, key) && (!value.includes("=") || labels[key] === wanted);
  },
  name: (volume, value) => volume.name.includes(value),
};

function filter(text: string): Pair {
  const parsed = pair(text);
  if (!Object.hasOwn(filters, parsed.key)) {
    throw new Fault("invalid-argument", `Choose one of: ${Object.keys(filters).join(", ")}`);
  }
  if (parsed.key === "dangling") isTrue(parsed.value);
  return parsed;
}

function isTrue(value: string): boolean {
  if (["true", "1"].includes(value)) return true;
  if (["false", "0"].includes(value)) return false;
  throw new Fault("invalid-argument", "Write dangling=true or dangling=false");
}

function passes(volume: LocalVolume, wanted: readonly Pair[]): boolean {
  return wanted.every(({ key, value }) => filters[key]?.(volume, value) ?? false);
}
