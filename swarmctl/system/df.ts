import type { Command } from "commander";
import { type DiskUsage, EngineService } from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Context } from "../context.ts";
import { addNodeFlag, type NodeFlag, nodeName, onNodes } from "../node-call.ts";
import { listFormatOption } from "../output/format.ts";
import { type ListingOptions, printListing } from "../output/listing.ts";
import { formatSize } from "../output/size.ts";

interface Options extends ListingOptions, NodeFlag {
  readonly verbose?: true;
}

interface Row {
  readonly node: Node;
  readonly usage: DiskUsage;
}

/** Counting goes through all files of volumes and containers. */
const deadlineMs = 5 * 60_000;

export function define(command: Command, context: Context): void {
  addNodeFlag(command)
    .addOption(listFormatOption())
    .option("-v, --verbose", "each image and each volume, too")
    .action(async (options: Options) => {
      const answers = await onNodes(context, EngineService, options, (client) =>
        client.getDiskUsage({}, { deadlineMs }),
      );
      const rows = answers.flatMap(({ node, answer }) =>
        answer.usages.map((usage) => ({ node, usage })),
      );
      printListing<Row>(context, options, {
        items: rows,
        id: ({ usage }) => usage.kind,
        columns: [
          { title: "NODE", of: ({ node }) => nodeName(node) },
          { title: "TYPE", of: ({ usage }) => titleOf(usage.kind) },
          { title: "TOTAL", field: "TotalCount", of: ({ usage }) => String(usage.count) },
          { title: "ACTIVE", of: ({ usage }) => String(usage.active) },
          { title: "SIZE", of: ({ usage }) => formatSize(Number(usage.sizeBytes)) },
          { title: "RECLAIMABLE", of: ({ usage }) => reclaimable(usage) },
        ],
        fields: {
          SizeBytes: ({ usage }) => Number(usage.sizeBytes),
          ReclaimableBytes: ({ usage }) => Number(usage.reclaimableBytes),
        },
      });
      if (options.verbose) await printEach(context, options);
    });
}

/** The lists of `image ls` and `volume ls --size`. */
async function printEach(context: Context, where: NodeFlag): Promise<void> {
  const { printImages } = await import("../image/ls.ts");
  const { printVolumes } = await import("../volume/ls.ts");
  context.print("\nImages space usage:\n");
  await printImages(context, { ...where, format: "table", trunc: true });
  context.print("\nLocal Volumes space usage:\n");
  await printVolumes(context, { ...where, format: "table", size: true });
}

const titles: Readonly<Record<string, string>> = {
  images: "Images",
  containers: "Containers",
  volumes: "Local Volumes",
  logs: "Logs",
};

function titleOf(kind: string): string {
  return titles[kind] ?? kind;
}

function reclaimable({ sizeBytes, reclaimableBytes }: DiskUsage): string {
  const words = formatSize(Number(reclaimableBytes));
  if (sizeBytes === 0n) return words;
  return `${words} (${(reclaimableBytes * 100n) / sizeBytes}%)`;
}
