import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { Network } from "#proto/gen/swarm/v1/types_pb.ts";
import { isOverlay } from "#proto/main-network.ts";
import { msFromTimestamp } from "#proto/time.ts";
import { confirm } from "../confirm.ts";
import type { Context, ControlClient } from "../context.ts";
import { durationMs } from "../flags/parse-flag.ts";
import { type FilterFlag, filterValues, hasLabel } from "../output/filter.ts";
import { addPruneFilterFlag } from "../prune-filter.ts";

interface Options extends FilterFlag {
  readonly force?: true;
}

export function define(command: Command, context: Context): void {
  addPruneFilterFlag(command)
    .option("-f, --force", "do not ask")
    .action(async (options: Options) => {
      const warning = "WARNING! This will remove all custom networks that no service uses.";
      if (!options.force && !(await confirm(context.io, warning))) return;
      await pruneNetworks(context, await context.control(), options);
    });
}

/** Prints what was removed. Which networks are in use is the managers' to say: those they keep. */
export async function pruneNetworks(
  context: Context,
  control: ControlClient,
  options: FilterFlag,
): Promise<void> {
  const { networks } = await control.listNetworks({});
  const removed: string[] = [];
  for (const network of networks) {
    if (!isOverlay(network) || network.spec?.ingress) continue;
    if (!isWanted(network, options, context.io.clock.now())) continue;
    if (await isRemoved(control, network.id)) removed.push(network.spec?.annotations?.name ?? "");
  }
  if (removed.length > 0) context.print("Deleted Networks:");
  for (const name of removed) context.print(name);
}

async function isRemoved(control: ControlClient, ref: string): Promise<boolean> {
  try {
    await control.removeNetwork({ ref });
    return true;
  } catch (thrown) {
    const { code } = Fault.from(thrown);
    if (code === "failed-precondition" || code === "not-found") return false;
    throw thrown;
  }
}

function isWanted({ spec, meta }: Network, options: FilterFlag, nowMs: number): boolean {
  const labels = spec?.annotations?.labels;
  const ageMs = nowMs - msFromTimestamp(meta?.createdAt);
  return (
    filterValues(options, "until").every((age) => ageMs > durationMs(age)) &&
    filterValues(options, "label").every((label) => hasLabel(labels, label)) &&
    filterValues(options, "label!").every((label) => !hasLabel(labels, label))
  );
}
