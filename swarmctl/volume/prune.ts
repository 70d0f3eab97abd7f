import type { Command } from "commander";
import { VolumeService } from "#proto/gen/swarm/v1/engine_pb.ts";
import { Fault } from "#proto/fault.ts";
import { confirm } from "../confirm.ts";
import type { Context } from "../context.ts";
import { flags, type Pair, pair, recordOf } from "../flags/parse-flag.ts";
import { formatSize } from "../output/size.ts";
import { addNodeFlag, type NodeFlag, onNodes } from "../node-call.ts";

interface Options extends NodeFlag {
  readonly all?: true;
  readonly filter?: Pair[];
  readonly force?: true;
}

export function define(command: Command, context: Context): void {
  addNodeFlag(command)
    .option("-a, --all", "named ones, too, not only anonymous ones")
    .option(
      "--filter <label=key[=value]>",
      "only those with the label (repeat)",
      flags(labelFilter),
    )
    .option("-f, --force", "do not ask")
    .action(async (options: Options) => {
      const { all = false, filter } = options;
      const which = all ? "all volumes" : "all anonymous volumes";
      const where = options.node === undefined ? "on all nodes" : `on node ${options.node}`;
      const warning = `WARNING! This will remove ${which} ${where} that no task has.`;
      if (!options.force && !(await confirm(context.io, warning))) return;
      const labels = recordOf(filter);
      const answers = await onNodes(context, VolumeService, options, (client) =>
        client.pruneVolumes({ all, labels }),
      );
      const names = answers.flatMap(({ answer }) => answer.deleted);
      if (names.length > 0) context.print("Deleted Volumes:");
      for (const name of new Set(names)) context.print(name);
      const bytes = answers.reduce((sum, { answer }) => sum + Number(answer.reclaimedBytes), 0);
      context.print(`${names.length > 0 ? "\n" : ""}Total reclaimed space: ${formatSize(bytes)}`);
    });
}

function labelFilter(text: string): Pair {
  const { key, value } = pair(text);
  if (key !== "label") throw new Fault("invalid-argument", "Write label=KEY or label=KEY=VALUE");
  return pair(value);
}
