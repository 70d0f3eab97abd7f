import type { Command } from "commander";
import { type LocalVolume, VolumeService } from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Context } from "../context.ts";
import { isTrue } from "../flags/is-true.ts";
import {
  addFilterFlag,
  filtered,
  type FilterFlag,
  type Filters,
  hasLabel,
} from "../output/filter.ts";
import { listFormatOption } from "../output/format.ts";
import { labelFields, type ListingOptions, printListing } from "../output/listing.ts";
import { formatSize } from "../output/size.ts";
import { addNodeFlag, type NodeFlag, nodeName, onNodes } from "../node-call.ts";

interface Options extends ListingOptions, NodeFlag, FilterFlag {
  readonly size?: true;
}

interface Row {
  readonly node: Node;
  readonly volume: LocalVolume;
}

export function define(command: Command, context: Context): void {
  addFilterFlag(addNodeFlag(command), Object.keys(filters))
    .addOption(listFormatOption())
    .option("-q, --quiet", "print only names, one per line")
    .option("-s, --size", "show how much each holds, which takes a while")
    .action((options: Options) => printVolumes(context, options));
}

export async function printVolumes(context: Context, options: Options): Promise<void> {
  const withSize = options.size ?? false;
  const answers = await onNodes(context, VolumeService, options, (client) =>
    client.listVolumes({ withSize }),
  );
  const rows = answers.flatMap(({ node, answer }) =>
    answer.volumes.map((volume) => ({ node, volume })),
  );
  print(context, options, filtered(rows, options, filters));
}

function print(context: Context, options: Options, rows: readonly Row[]): void {
  printListing(context, options, {
    items: rows,
    id: ({ volume }) => volume.name,
    columns: [
      { title: "NODE", of: ({ node }) => nodeName(node) },
      { title: "DRIVER", of: ({ volume }) => volume.driver },
      { title: "VOLUME NAME", field: "Name", of: ({ volume }) => volume.name },
      ...(options.size
        ? [{ title: "SIZE", of: ({ volume }: Row) => formatSize(Number(volume.sizeBytes)) }]
        : []),
    ],
    fields: {
      Scope: () => "local",
      Mountpoint: ({ volume }) => volume.mountpoint,
      InUse: ({ volume }) => volume.inUse,
      ...(options.size && { SizeBytes: ({ volume }: Row) => Number(volume.sizeBytes) }),
      ...labelFields<Row>(({ volume }) => volume.labels),
    },
  });
}

const filters: Filters<Row> = {
  dangling: ({ volume }, value) => !volume.inUse === isTrue(value),
  driver: ({ volume }, value) => volume.driver === value,
  label: ({ volume }, value) => hasLabel(volume.labels, value),
  name: ({ volume }, value) => volume.name.includes(value),
  node: ({ node }, value) => nodeName(node) === value || node.id.startsWith(value),
};
