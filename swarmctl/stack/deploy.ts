import { type Command, Option } from "commander";
import { deployStack } from "#stacks/deploy-stack.ts";
import { type ResolveMode, resolveModes } from "#stacks/plan-services.ts";
import { removeLeftovers } from "#stacks/remove-leftovers.ts";
import { parseStackName } from "#stacks/stack.ts";
import type { Context } from "../context.ts";
import { flag } from "../flags/parse-flag.ts";
import { addConvergeFlags, type ConvergeOptions } from "../service/converge.ts";
import { printWarnings } from "../warnings.ts";
import { convergeStack } from "./converge-stack.ts";
import { addComposeFlags, type ComposeFlags, loadStack } from "./load-stack.ts";
import { printDiff } from "./print-diff.ts";

interface Options extends Omit<ConvergeOptions, "detach">, ComposeFlags, PlanFlags {
  readonly detach: boolean;
  readonly dryRun?: true;
}

/** What `stack deploy` and `stack diff` plan by. */
export interface PlanFlags {
  readonly prune?: true;
  readonly resolveImage: ResolveMode;
}

export function addPlanFlags(command: Command): Command {
  return command
    .option("--prune", "remove what of the stack the file does not name any more")
    .addOption(
      new Option("--resolve-image <when>", "have the tags of images resolved to digests")
        .choices(resolveModes)
        .default("always"),
    );
}

export function define(command: Command, context: Context): void {
  command
    .argument("<stack>", "what the stack is called", flag(parseStackName))
    .option("--no-detach", "wait until all its services have converged")
    .option(
      "--dry-run",
      "only say what would change: exits 0 if nothing, 1 if something, 2 on error",
    );
  addPlanFlags(addComposeFlags(command));
  addConvergeFlags(command).action(async (name: string, options: Options) => {
    if (options.dryRun) {
      const { quiet } = options;
      const asked = { ...planSettings(options), format: "text", ...(quiet && { quiet }) } as const;
      await printDiff(context, () => loadStack(context, name, options), asked);
    } else await deploy(context, name, { command, options });
  });
}

export function planSettings({ prune, resolveImage }: PlanFlags) {
  return { prune: prune ?? false, resolveImage };
}

interface Invocation {
  readonly command: Command;
  readonly options: Options;
}

async function deploy(
  context: Context,
  name: string,
  { command, options }: Invocation,
): Promise<void> {
  const { signal, clock } = context.io;
  const { stack, read } = await loadStack(context, name, options);
  const control = await context.control();
  const tell = {
    signal,
    clock,
    onStep: (line: string) => {
      if (!options.quiet) context.print(line);
    },
    onWarnings: (warnings: readonly string[]) => printWarnings(context, warnings),
  };
  const settings = { ...tell, ...planSettings(options), read };
  const { services, leftovers } = await deployStack(control, stack, settings);
  if (!options.detach) await convergeStack(context, services, { control, command, options });
  await removeLeftovers(control, leftovers, tell);
}
