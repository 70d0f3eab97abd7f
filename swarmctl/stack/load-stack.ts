/** The stack that flags name: its files read and loaded, with the variables of the shell and of `.env` beside the first. */
import { dirname, resolve } from "node:path";
import type { Command } from "commander";
import type { ServiceSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { ComposeFile } from "#stacks/compose/compose-file.ts";
import { loadCompose, type LoadOptions } from "#stacks/compose/load-compose.ts";
import { toStack } from "#stacks/convert/stack.ts";
import type { ReadSource } from "#stacks/look.ts";
import type { Stack } from "#stacks/stack.ts";
import type { Context } from "../context.ts";
import { text } from "../flags/parse-flag.ts";
import { readText, readTextSync } from "../read-file.ts";
import { withRegistryAuth } from "../registry-login.ts";
import { printWarnings } from "../warnings.ts";
import { readFileSource } from "./read-file-source.ts";

/** Which files, and what of them. */
export interface FileFlags {
  readonly composeFile: readonly string[];
  readonly profile?: readonly string[];
}

export interface ComposeFlags extends FileFlags {
  readonly withRegistryAuth?: true;
}

export function addFileFlags(command: Command): Command {
  // Names may be joined by commas, as Docker has it.
  const repeated = (value: string, before: readonly string[] = []) => [
    ...before,
    ...text(value).split(","),
  ];
  return command
    .requiredOption(
      "-c, --compose-file <file>",
      "a stack file (repeat: later ones win); - is stdin",
      repeated,
    )
    .option("--profile <name>", "take services of this profile, too (repeat); * is all", repeated);
}

export function addComposeFlags(command: Command): Command {
  return addFileFlags(command).option(
    "--with-registry-auth",
    "give the nodes your logins at the images' registries",
  );
}

export interface LoadedStack {
  readonly stack: Stack;
  /** The data of its secrets and configs. */
  readonly read: ReadSource;
}

export async function loadStack(
  context: Context,
  name: string,
  flags: ComposeFlags,
): Promise<LoadedStack> {
  const options = loadOptions(context, flags);
  const stack = toStack({ name, ...(await loadFiles(context, flags, options)) });
  return {
    stack: flags.withRegistryAuth ? await withLogins(context, stack) : stack,
    read: (source) => readFileSource(context.io, options, source),
  };
}

/** The files that the flags name, as one. */
export async function loadFiles(
  context: Context,
  flags: FileFlags,
  options: LoadOptions,
): Promise<ComposeFile> {
  const inputs = [];
  for (const file of flags.composeFile) {
    inputs.push({ file: file === "-" ? "stdin" : file, text: await readText(context.io, file) });
  }
  const compose = loadCompose(inputs, options);
  printWarnings(context, compose.warnings);
  return compose;
}

export function loadOptions({ io }: Context, flags: FileFlags): LoadOptions {
  const [first = "-"] = flags.composeFile;
  return {
    folder: first === "-" ? process.cwd() : dirname(resolve(first)),
    environment: io.env,
    readText: readTextSync,
    ...(flags.profile !== undefined && { profiles: flags.profile }),
  };
}

async function withLogins({ io }: Context, stack: Stack): Promise<Stack> {
  const services: ServiceSpec[] = [];
  // One after the other: a helper may ask the user something.
  for (const spec of stack.services) services.push(await withRegistryAuth(io, spec));
  return { ...stack, services };
}
