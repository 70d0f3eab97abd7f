import type { Command } from "commander";
import { VolumeService } from "#proto/gen/swarm/v1/engine_pb.ts";
import { confirm } from "../confirm.ts";
import type { Context } from "../context.ts";
import { addNodeFlag, type NodeFlag, onNodes } from "../node-call.ts";
import { pruneImages } from "../image/prune.ts";
import { formatSize } from "../output/size.ts";

interface Options extends NodeFlag {
  readonly all?: true;
  readonly volumes?: true;
  readonly force?: true;
}

/** Many images have many files. */
const deadlineMs = 10 * 60_000;

export function define(command: Command, context: Context): void {
  addNodeFlag(command)
    .option("-a, --all", "all images that no task uses, not only those without a tag")
    .option("--volumes", "anonymous volumes that no task has, too")
    .option("-f, --force", "do not ask")
    .action(async (options: Options) => {
      const { all = false } = options;
      const which = [
        all ? "all images that no task uses" : "all images without a tag",
        ...(options.volumes ? ["all anonymous volumes that no task has"] : []),
      ].join(" and ");
      const where = options.node === undefined ? "on all nodes" : `on node ${options.node}`;
      const warning = `WARNING! This will remove ${which} ${where}.`;
      if (!options.force && !(await confirm(context.io, warning))) return;
      if (options.volumes) await pruneVolumes(context, options);
      await pruneImages(context, options, { all, unusedMs: 0 });
    });
}

async function pruneVolumes(context: Context, flag: NodeFlag): Promise<void> {
  const request = { all: false, labels: {} };
  const answers = await onNodes(context, VolumeService, flag, (client) =>
    client.pruneVolumes(request, { deadlineMs }),
  );
  const pruned = answers.map(({ answer }) => answer);
  const names = new Set(pruned.flatMap(({ deleted }) => deleted));
  if (names.size > 0) context.print("Deleted Volumes:");
  for (const name of names) context.print(name);
  const bytes = pruned.reduce((sum, { reclaimedBytes }) => sum + Number(reclaimedBytes), 0);
  if (names.size > 0) context.print(`Reclaimed space of volumes: ${formatSize(bytes)}\n`);
}
