import type { Command } from "commander";
import { ImageService } from "#proto/gen/swarm/v1/engine_pb.ts";
import { Fault } from "#proto/fault.ts";
import { durationFromMs } from "#proto/time.ts";
import { confirm } from "../confirm.ts";
import type { Context } from "../context.ts";
import { durationMs, flag, pair } from "../flags/parse-flag.ts";
import { formatSize } from "../output/size.ts";
import { addNodeFlag, type NodeFlag, onNodes } from "../node-call.ts";

interface Options extends NodeFlag {
  readonly all?: true;
  readonly filter?: number;
  readonly force?: true;
}

export function define(command: Command, context: Context): void {
  addNodeFlag(command)
    .option("-a, --all", "all that no task uses, not only those without a tag")
    .option("--filter <until=duration>", "only those unused for so long", flag(untilFilter))
    .option("-f, --force", "do not ask")
    .action(async (options: Options) => {
      const { all = false, filter: unusedMs = 0 } = options;
      const which = all ? "all images that no task uses" : "all images without a tag";
      const where = options.node === undefined ? "on all nodes" : `on node ${options.node}`;
      const warning = `WARNING! This will remove ${which} ${where}.`;
      if (!options.force && !(await confirm(context.io, warning))) return;
      await pruneImages(context, options, { all, unusedMs });
    });
}

/** Prints what was removed. */
export async function pruneImages(
  context: Context,
  where: NodeFlag,
  { all, unusedMs }: { readonly all: boolean; readonly unusedMs: number },
): Promise<void> {
  const unusedFor = durationFromMs(unusedMs);
  const answers = await onNodes(context, ImageService, where, (client) =>
    client.pruneImages({ all, unusedFor }, { deadlineMs: pruneDeadlineMs }),
  );
  const ids = new Set(answers.flatMap(({ answer }) => answer.deleted));
  if (ids.size > 0) context.print("Deleted Images:");
  for (const id of ids) context.print(id);
  const bytes = answers.reduce((sum, { answer }) => sum + Number(answer.reclaimedBytes), 0);
  context.print(`${ids.size > 0 ? "\n" : ""}Total reclaimed space: ${formatSize(bytes)}`);
}

/** Many images have many files. */
const pruneDeadlineMs = 10 * 60_000;

function untilFilter(text: string): number {
  const { key, value } = pair(text);
  if (key !== "until")
    throw new Fault("invalid-argument", "Write until=DURATION, such as until=24h");
  return durationMs(value);
}
