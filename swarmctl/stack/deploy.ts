import { dirname, resolve } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { ServiceSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { parseStack } from "#stacks/parse-stack.ts";
import { deployStack } from "#stacks/deploy-stack.ts";
import { type ResolveMode, resolveModes } from "#stacks/plan-services.ts";
import { removeLeftovers } from "#stacks/remove-leftovers.ts";
import { parseStackName, type Stack } from "#stacks/stack.ts";
import type { Context } from "../context.ts";
import { flag } from "../flags/parse-flag.ts";
import { readText } from "../read-file.ts";
import { readFileSource } from "./read-file-source.ts";
import { withRegistryAuth } from "../registry-login.ts";
import { addConvergeFlags, type ConvergeOptions, converge } from "../service/converge.ts";
import { printWarnings } from "../warnings.ts";

interface Options extends Omit<ConvergeOptions, "detach"> {
  readonly composeFile: string;
  readonly detach: boolean;
  readonly prune?: true;
  readonly resolveImage: ResolveMode;
  readonly withRegistryAuth?: true;
}

export function define(command: Command, context: Context): void {
  command
    .argument("<stack>", "what the stack is called", flag(parseStackName))
    .requiredOption("-c, --compose-file <file>", "the stack file; - is stdin", onlyOne)
    .option("--no-detach", "wait until all its services have converged")
    .option("--prune", "remove what of the stack the file does not name any more");
  command.addOption(
    new Option("--resolve-image <when>", "have the tags of images resolved to digests")
      .choices(resolveModes)
      .default("always"),
  );
  command.option("--with-registry-auth", "give the nodes your logins at the images' registries");
  addConvergeFlags(command).action(async (name: string, options: Options) => {
    const { signal, clock } = context.io;
    const file = options.composeFile;
    const text = await readText(context.io, file);
    const folder = file === "-" ? process.cwd() : dirname(resolve(file));
    const parsed = parseStack({ name, file: file === "-" ? "stdin" : file, text, folder });
    const stack = options.withRegistryAuth ? await withLogins(context, parsed) : parsed;
    const control = await context.control();
    const tell = {
      signal,
      clock,
      onStep: (line: string) => context.print(line),
      onWarnings: (warnings: readonly string[]) => printWarnings(context, warnings),
    };
    const { services, leftovers } = await deployStack(control, stack, {
      ...tell,
      read: (source) => readFileSource(context.io, folder, source),
      resolveImage: options.resolveImage,
      prune: options.prune ?? false,
    });
    if (!options.detach) {
      const { detach: _, ...wait } = options;
      for (const service of services) await converge(context, control, service, wait);
    }
    await removeLeftovers(control, leftovers, tell);
  });
}

async function withLogins({ io }: Context, stack: Stack): Promise<Stack> {
  const services: ServiceSpec[] = [];
  // One after the other: a helper may ask the user something.
  for (const spec of stack.services) services.push(await withRegistryAuth(io, spec));
  return { ...stack, services };
}

function onlyOne(file: string, before: string | undefined): string {
  if (before === undefined) return file;
  throw new InvalidArgumentError("Several files are not merged yet: name one");
}
