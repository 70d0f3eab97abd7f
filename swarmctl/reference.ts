/** The reference of all commands as Markdown, made from the tables of commands and their flags. */
import type { Argument, Command, Option } from "commander";
import type { CommandFile, Noun } from "./command-file.ts";
import { nouns } from "./commands.ts";
import { Context } from "./context.ts";
import { CliCommand } from "./flags/cli-command.ts";
import { topCommands } from "./host-commands.ts";
import type { Io } from "./io.ts";
import { placeOptions } from "./place-options.ts";

const head = `# swarmctl, every command

Made from the commands' own tables by \`npm run reference\`: change those. \`swarmctl NOUN VERB --help\` shows the same. For
people who come from Docker there is [a page of its own](from-docker.md).

Lists take \`--format\` with \`table\`, \`json\` or a Go template of Docker's fields, \`--filter\`, \`-q\` and \`--stale\`. Exit
status: 0 done, 1 failed, 2 called wrongly, 130 ended by Ctrl-C.
`;

/** `io` is never used: no command runs. */
export async function reference(io: Io): Promise<string> {
  await using context = new Context(io);
  const parts = [
    head,
    flagTable("Every command has these, before or behind its noun:", placeOptions),
  ];
  for (const noun of nouns) {
    parts.push(nounHeading(noun));
    const verbs = noun.verbs.filter(({ hidden }) => !hidden);
    for (const verb of verbs) parts.push(await section(noun.name, verb, context));
  }
  parts.push("## Commands without a noun\n");
  for (const file of topCommands) parts.push(await section("", file, context));
  return `${parts.join("\n").trimEnd()}\n`;
}

function nounHeading({ name, summary, aliases = [] }: Noun): string {
  return `## ${name}\n\n${summary}.${alsoCalled(aliases)}\n`;
}

async function section(noun: string, file: CommandFile, context: Context): Promise<string> {
  const command = new CliCommand(file.name);
  (await file.load()).define(command, context);
  const path = `${noun} ${file.name}`.trim();
  const words = ["swarmctl", path, ...usageOf(command)].join(" ");
  const given = command.registeredArguments.filter(({ description }) => description !== "");
  const flags = command.options.filter(({ hidden }) => !hidden);
  return [
    `### ${path}\n`,
    `${file.summary}.${alsoCalled(file.aliases ?? [])}\n`,
    `    ${words}\n`,
    ...(given.length > 0 ? [`${given.map(argumentLine).join("\n")}\n`] : []),
    ...flagTables(flags),
  ].join("\n");
}

function alsoCalled(aliases: readonly string[]): string {
  return aliases.length === 0 ? "" : ` Also called ${aliases.map(code).join(", ")}.`;
}

function usageOf(command: Command): string[] {
  const flags = command.options.length > 0 ? ["[flags]"] : [];
  const names = command.registeredArguments.map((argument) => {
    const name = `${argument.name()}${argument.variadic ? "..." : ""}`;
    return argument.required ? `<${name}>` : `[${name}]`;
  });
  return [...flags, ...names];
}

function argumentLine(argument: Argument): string {
  const choices = argument.argChoices === undefined ? "" : `: ${argument.argChoices.join(", ")}`;
  return `- ${code(argument.name())}: ${cell(argument.description)}${choices}`;
}

/** One for each heading that help has. */
function flagTables(options: readonly Option[]): string[] {
  const groups = Map.groupBy(options, ({ helpGroupHeading = "Options:" }) => helpGroupHeading);
  return [...groups].map(([heading, some]) => flagTable(groups.size === 1 ? "" : heading, some));
}

function flagTable(title: string, options: readonly Option[]): string {
  const rows = options.map((option) => `| ${code(option.flags)} | ${cell(aboutOf(option))} |`);
  return [...(title === "" ? [] : [`${title}\n`]), "| flag | |", "|---|---|", ...rows, ""].join(
    "\n",
  );
}

/** With what commander's help says of choices and defaults. */
function aboutOf(option: Option): string {
  const { description, argChoices } = option;
  const defaultValue: unknown = option.defaultValueDescription ?? option.defaultValue;
  const more = [
    ...(argChoices === undefined ? [] : [`one of ${argChoices.join(", ")}`]),
    ...(typeof defaultValue === "string" || typeof defaultValue === "number"
      ? [`default ${defaultValue}`]
      : []),
  ];
  return more.length === 0 ? description : `${description} (${more.join("; ")})`;
}

/** A stroke would end the table's cell, also in code. */
function code(text: string): string {
  return `\`${text.replaceAll("|", "\\|")}\``;
}

function cell(text: string): string {
  const plain = text.replace(/[|<>*_]/g, (sign) => `\\${sign}`);
  // Templates are code, and look like nothing else.
  return plain.replace(/'(\{\{.*?)'/g, (_, template: string) =>
    code(template.replaceAll("\\", "")),
  );
}
