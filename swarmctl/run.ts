/**
 * One invocation: finds the command that the words name, loads its file only, lets commander check the rest, and turns
 * whatever goes wrong into one sentence and an exit code: 1 when it failed, 2 when it was called wrongly.
 */
import { type Command, CommanderError } from "commander";
import { Fault } from "#proto/fault.ts";
import { version } from "#proto/version.ts";
import { complain } from "./complain.ts";
import type { CommandFile, Noun } from "./command-file.ts";
import { nouns } from "./commands.ts";
import { Context } from "./context.ts";
import { CliCommand, oneLine } from "./flags/cli-command.ts";
import { topCommands } from "./host-commands.ts";
import type { Io } from "./io.ts";
import { visibleLines } from "./output/table.ts";
import { addPlaceOptions, placeOf, placeOptions } from "./place-options.ts";

const exitFailed = 1;
export const exitUsage = 2;
/** What shells use for a process that Ctrl-C ended. */
const exitInterrupted = 130;

/** What the shells' completions call: "--" and the words up to the cursor. */
const completeWord = "__complete";

export async function run(argv: readonly string[], io: Io): Promise<number> {
  if (argv[0] === completeWord) {
    const { complete } = await import("./completion/complete.ts");
    await complete(argv.slice(2), io);
    return 0;
  }
  await using context = new Context(io);
  const program = buildProgram(context);
  try {
    await program.parseAsync(wordsOf(argv), { from: "user" });
    return context.exitCode;
  } catch (thrown) {
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : exitUsage;
    if (io.signal.aborted) return exitInterrupted;
    if (!(thrown instanceof Fault)) throw thrown;
    complain(io, thrown.message);
    return exitFailed;
  }
}

/** `help x y` is `x y --help`. Of what there is not there is no help either: commander shall say so. */
function wordsOf(argv: readonly string[]): string[] {
  const words = argv[0] === "help" ? [...argv.slice(1), "--help"] : [...argv];
  return namesCommand(words) ? words : words.filter((word) => word !== "--help");
}

/** Whether the words before the first flag begin with a noun, a noun and its verb, or a command of one word. */
function namesCommand(words: readonly string[]): boolean {
  let start = 0;
  while (placeOptions.some(({ long }) => long === words[start])) start += 2;
  const [first = "", second = ""] = words.slice(start);
  if (first === "" || first.startsWith("-")) return true;
  const noun = nouns.find((one) => isCalled(one, first));
  if (noun === undefined) return isOneOf(topCommands, first);
  return second === "" || second.startsWith("-") || isOneOf(noun.verbs, second);
}

function isOneOf(files: readonly CommandFile[], word: string): boolean {
  return files.some((file) => isCalled(file, word));
}

function isCalled({ name, aliases = [] }: CommandFile | Noun, word: string): boolean {
  return name === word || aliases.includes(word);
}

function buildProgram(context: Context): Command {
  const program = configure(new CliCommand("swarmctl"), context)
    .description("Tell a cluster what to run")
    .version(`swarmctl ${version}`, "-v, --version", "show the version")
    .showHelpAfterError('See "swarmctl --help"')
    .enablePositionalOptions()
    .hook("preAction", (_, action) => {
      context.useFlags(placeOf(action));
    });
  addPlaceOptions(program);
  program.commandsGroup("Nouns, each with verbs:");
  for (const noun of nouns) program.addCommand(buildNoun(noun, context));
  program.commandsGroup("Commands:");
  for (const command of topCommands) program.addCommand(buildCommand(command, context));
  return program;
}

function buildNoun(noun: Noun, context: Context): Command {
  const command = configure(new CliCommand(noun.name), context)
    .description(noun.summary)
    .enablePositionalOptions();
  for (const alias of noun.aliases ?? []) command.alias(alias);
  addPlaceOptions(command);
  for (const verb of noun.verbs) {
    command.addCommand(buildCommand(verb, context), { hidden: verb.hidden ?? false });
  }
  return command;
}

/** Name and summary are enough for help and near-misses; flags and action come from the command's file when it is called. */
function buildCommand(file: CommandFile, context: Context): Command {
  const command = configure(new CliCommand(file.name), context).summary(file.summary);
  for (const alias of file.aliases ?? []) command.alias(alias);
  return command.description(file.summary);
}

function configure(command: Command, context: Context): Command {
  const { stdout, stderr } = context.io;
  return command
    .helpOption("--help", "show this")
    .helpCommand(false)
    .configureHelp({ subcommandTerm: (child) => child.name() })
    .exitOverride()
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
      outputError: (text, write) => write(`swarmctl: ${visibleLines(oneLine(text))}`),
      getOutHelpWidth: () => stdout.columns || 100,
      getErrHelpWidth: () => stderr.columns || 100,
    })
    .hook("preSubcommand", async (parent, child) => {
      const name = parent.parent === null ? child.name() : `${parent.name()} ${child.name()}`;
      const file = commandFile(name);
      if (file !== undefined) (await file.load()).define(child, context);
      addPlaceOptions(child);
      child.showHelpAfterError(`See "swarmctl ${name} --help"`);
    });
}

function commandFile(path: string): CommandFile | undefined {
  const [first, second] = path.split(" ");
  if (second === undefined) return topCommands.find((command) => command.name === first);
  return nouns.find((noun) => noun.name === first)?.verbs.find((verb) => verb.name === second);
}
