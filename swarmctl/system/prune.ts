import type { Command } from "commander";
import { VolumeService } from "#proto/gen/swarm/v1/engine_pb.ts";
import { confirm } from "../confirm.ts";
import type { Context } from "../context.ts";
import { durationMs, pair } from "../flags/parse-flag.ts";
import { pruneImages } from "../image/prune.ts";
import { pruneNetworks } from "../network/prune.ts";
import { addNodeFlag, type NodeFlag, onNodes } from "../node-call.ts";
import { type FilterFlag, filterValues } from "../output/filter.ts";
import { formatSize } from "../output/size.ts";
import { addPruneFilterFlag } from "../prune-filter.ts";

interface Options extends NodeFlag, FilterFlag {
  readonly all?: true;
  readonly volumes?: true;
  readonly force?: true;
}

/** Many images have many files. */
const deadlineMs = 10 * 60_000;

export function define(command: Command, context: Context): void {
  addPruneFilterFlag(addNodeFlag(command))
    .option("-a, --all", "all images that no task uses, not only those without a tag")
    .option("--volumes", "anonymous volumes that no task has, too")
    .option("-f, --force", "do not ask")
    .action(async (options: Options) => {
      if (!options.force && !(await confirm(context.io, warningOf(options)))) return;
      if (options.volumes) await pruneVolumes(context, options);
      // What is on one node alone is meant: networks are the cluster's.
      if (options.node === undefined) {
        await pruneNetworks(context, await context.control(), options);
      }
      // Labels are of volumes and networks; an image has none that a user could have given it here.
      if (hasLabels(options)) return;
      const ages = filterValues(options, "until").map(durationMs);
      await pruneImages(context, options, {
        all: options.all ?? false,
        unusedMs: Math.max(0, ...ages),
      });
    });
}

function hasLabels(options: FilterFlag): boolean {
  return [...filterValues(options, "label"), ...filterValues(options, "label!")].length > 0;
}

function warningOf(options: Options): string {
  const images = options.all ? "all images that no task uses" : "all images without a tag";
  const which = [
    ...(options.node === undefined ? ["all networks that no service uses"] : []),
    ...(hasLabels(options) ? [] : [images]),
    ...(options.volumes ? ["all anonymous volumes that no task has"] : []),
  ].join(" and ");
  const where = options.node === undefined ? "on all nodes" : `on node ${options.node}`;
  return `WARNING! This will remove ${which} ${where}.`;
}

async function pruneVolumes(context: Context, options: Options): Promise<void> {
  const labels = Object.fromEntries(
    filterValues(options, "label").map((label) => {
      const { key, value } = pair(label);
      return [key, value];
    }),
  );
  const answers = await onNodes(context, VolumeService, options, (client) =>
    client.pruneVolumes({ all: false, labels }, { deadlineMs }),
  );
  const pruned = answers.map(({ answer }) => answer);
  const names = new Set(pruned.flatMap(({ deleted }) => deleted));
  if (names.size > 0) context.print("Deleted Volumes:");
  for (const name of names) context.print(name);
  const bytes = pruned.reduce((sum, { reclaimedBytes }) => sum + Number(reclaimedBytes), 0);
  if (names.size > 0) context.print(`Reclaimed space of volumes: ${formatSize(bytes)}\n`);
}
