/** The reference of all commands as Markdown. */
import {
  type CommandTable,
  type Described,
  type FlagGroup,
  type NounTable,
  readCliTable,
} from "./cli-table.ts";
import type { Io } from "./io.ts";

const head = `# swarmctl, every command

Made from the commands' own tables by \`npm run reference\`: change those. \`swarmctl NOUN VERB --help\` shows the same. For
people who come from Docker there is [a page of its own](from-docker.md).

Lists take \`--format\` with \`table\`, \`json\` or a Go template of Docker's fields, \`--filter\`, \`-q\` and \`--stale\`. Exit
status: 0 done, 1 failed, 2 called wrongly, 130 ended by Ctrl-C.
`;

/** `io` is never used: no command runs. */
export async function reference(io: Io): Promise<string> {
  const { everywhere, nouns, commands } = await readCliTable(io);
  const parts = [
    head,
    flagTable({ title: "Every command has these, before or behind its noun:", flags: everywhere }),
    ...nouns.flatMap((noun) => [nounHeading(noun), ...noun.commands.map(section)]),
    "## Commands without a noun\n",
    ...commands.map(section),
  ];
  return `${parts.join("\n").trimEnd()}\n`;
}

function nounHeading({ name, summary, aliases }: NounTable): string {
  return `## ${name}\n\n${summary}.${alsoCalled(aliases)}\n`;
}

function section(command: CommandTable): string {
  const words = `swarmctl ${command.path} ${command.usage}`.trimEnd();
  const given = command.arguments;
  return [
    `### ${command.path}\n`,
    `${command.summary}.${alsoCalled(command.aliases)}\n`,
    `    ${words}\n`,
    ...(given.length > 0 ? [`${given.map(argumentLine).join("\n")}\n`] : []),
    ...command.flagGroups.map(flagTable),
  ].join("\n");
}

function alsoCalled(aliases: readonly string[]): string {
  return aliases.length === 0 ? "" : ` Also called ${aliases.map(code).join(", ")}.`;
}

function argumentLine({ name, about }: Described): string {
  return `- ${code(name)}: ${cell(about)}`;
}

function flagTable({ title, flags }: FlagGroup): string {
  const rows = flags.map(({ name, about }) => `| ${code(name)} | ${cell(about)} |`);
  return [...(title === "" ? [] : [`${title}\n`]), "| flag | |", "|---|---|", ...rows, ""].join(
    "\n",
  );
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
