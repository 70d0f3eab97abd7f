import { type Command, Option } from "commander";
import { Fault } from "#proto/fault.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { deployStack } from "#stacks/deploy-stack.ts";
import { type ResolveMode, resolveModes } from "#stacks/plan-services.ts";
import { removeLeftovers } from "#stacks/remove-leftovers.ts";
import { parseStackName } from "#stacks/stack.ts";
import type { Context, ControlClient } from "../context.ts";
import { flag } from "../flags/parse-flag.ts";
import { forEachRef } from "../for-each-ref.ts";
import {
  addConvergeFlags,
  type ConvergeOptions,
  converge,
  withJobTimeout,
} from "../service/converge.ts";
import { serviceName } from "../service/words.ts";
import { printWarnings } from "../warnings.ts";
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
  if (!options.detach) await convergeAll(context, services, { control, command, options });
  await removeLeftovers(control, leftovers, tell);
}

interface Wait extends Invocation {
  readonly control: ControlClient;
}

/**
 * They all go on at the same time, and have the time together; each that fails is named. Who depends on one that failed is
 * not waited for.
 */
async function convergeAll(
  context: Context,
  services: readonly Service[],
  { control, command, options }: Wait,
): Promise<void> {
  const { clock } = context.io;
  const { timeout, quiet } = options;
  const deadline = clock.monotonic() + timeout;
  const byName = new Map(services.map((service) => [serviceName(service), service]));
  const converged = new Set<string>();
  await forEachRef(context, [...byName.keys()], async (name) => {
    const service = byName.get(name);
    if (service === undefined) return;
    context.io.signal.throwIfAborted();
    const lacking = service.spec?.dependsOn.find(
      (on) => byName.has(on.service) && !converged.has(on.service),
    );
    if (lacking !== undefined) {
      const message = `Service "${name}" has not converged: it waits for ${lacking.service}`;
      throw new Fault("failed-precondition", message);
    }
    if (!quiet && services.length > 1) context.print(name);
    const left = timeout === 0 ? 0 : Math.max(1, deadline - clock.monotonic());
    const wait = { timeout: left, ...(quiet && { quiet }) };
    await converge(context, control, service, withJobTimeout(command, service, wait));
    converged.add(name);
  });
}
