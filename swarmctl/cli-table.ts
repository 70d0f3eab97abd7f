/** All commands with their arguments and flags as data, from the tables that run them: what references and man pages are made of. */
import type { Argument, Command, Option } from "commander";
import type { CommandFile } from "./command-file.ts";
import { nouns } from "./commands.ts";
import { Context } from "./context.ts";
import { CliCommand } from "./flags/cli-command.ts";
import { topCommands } from "./host-commands.ts";
import type { Io } from "./io.ts";
import { placeOptions } from "./place-options.ts";

export interface Described {
  readonly name: string;
  readonly about: string;
}

export interface FlagGroup {
  /** As help has it, "Update:"; empty where there is one group only. */
  readonly title: string;
  readonly flags: readonly Described[];
}

export interface CommandTable {
  /** "service create". */
  readonly path: string;
  readonly summary: string;
  readonly aliases: readonly string[];
  /** What stands behind the path: "[flags] <image> [arg...]". */
  readonly usage: string;
  readonly arguments: readonly Described[];
  readonly flagGroups: readonly FlagGroup[];
}

export interface NounTable {
  readonly name: string;
  readonly summary: string;
  readonly aliases: readonly string[];
  readonly commands: readonly CommandTable[];
}

export interface CliTable {
  /** What every command takes. */
  readonly everywhere: readonly Described[];
  readonly nouns: readonly NounTable[];
  /** Without a noun. */
  readonly commands: readonly CommandTable[];
}

/** `io` is never used: no command runs. */
export async function readCliTable(io: Io): Promise<CliTable> {
  await using context = new Context(io);
  const tableOf = async (noun: string, files: readonly CommandFile[]) => {
    const tables: CommandTable[] = [];
    for (const file of files.filter(({ hidden }) => !hidden)) {
      tables.push(await commandTable(noun, file, context));
    }
    return tables;
  };
  const tables: NounTable[] = [];
  for (const { name, summary, aliases = [], verbs } of nouns) {
    tables.push({ name, summary, aliases, commands: await tableOf(name, verbs) });
  }
  return {
    everywhere: placeOptions.map(flagRow),
    nouns: tables,
    commands: await tableOf("", topCommands),
  };
}

async function commandTable(
  noun: string,
  file: CommandFile,
  context: Context,
): Promise<CommandTable> {
  const command = new CliCommand(file.name);
  (await file.load()).define(command, context);
  return {
    path: `${noun} ${file.name}`.trim(),
    summary: file.summary,
    aliases: file.aliases ?? [],
    usage: usageOf(command).join(" "),
    arguments: command.registeredArguments
      .filter(({ description }) => description !== "")
      .map(argumentRow),
    flagGroups: flagGroups(command.options.filter(({ hidden }) => !hidden)),
  };
}

function usageOf(command: Command): string[] {
  const flags = command.options.length > 0 ? ["[flags]"] : [];
  const names = command.registeredArguments.map((argument) => {
    const name = `${argument.name()}${argument.variadic ? "..." : ""}`;
    return argument.required ? `<${name}>` : `[${name}]`;
  });
  return [...flags, ...names];
}

function argumentRow(argument: Argument): Described {
  const choices = argument.argChoices === undefined ? "" : `: ${argument.argChoices.join(", ")}`;
  return { name: argument.name(), about: `${argument.description}${choices}` };
}

/** One for each heading that help has. */
function flagGroups(options: readonly Option[]): FlagGroup[] {
  const groups = Map.groupBy(options, ({ helpGroupHeading = "Options:" }) => helpGroupHeading);
  return [...groups].map(([heading, some]) => ({
    title: groups.size === 1 ? "" : heading,
    flags: some.map(flagRow),
  }));
}

/** With what commander's help says of choices and defaults. */
function flagRow(option: Option): Described {
  const { flags, description, argChoices } = option;
  const defaultValue: unknown = option.defaultValueDescription ?? option.defaultValue;
  const more = [
    ...(argChoices === undefined ? [] : [`one of ${argChoices.join(", ")}`]),
    ...(typeof defaultValue === "string" || typeof defaultValue === "number"
      ? [`default ${defaultValue}`]
      : []),
  ];
  const about = more.length === 0 ? description : `${description} (${more.join("; ")})`;
  return { name: flags, about };
}
