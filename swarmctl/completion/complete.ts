/**
 * What may stand where the cursor is: nouns, verbs, flags and their values by the tables of commands, names by the cluster. It
 * runs at each press of a key, so it is quick and silent: without a manager there are no names, and never an error.
 */
import type { Argument, Command, Option } from "commander";
import type { CommandFile, Noun } from "../command-file.ts";
import { nouns } from "../commands.ts";
import { Context, type PlaceFlags } from "../context.ts";
import { CliCommand } from "../flags/cli-command.ts";
import { topCommands } from "../host-commands.ts";
import type { Io } from "../io.ts";
import { addPlaceOptions, placeOptions } from "../place-options.ts";
import { isNameKind, namesOf } from "./names.ts";

interface Candidate {
  readonly value: string;
  readonly about?: string;
}

/** What a shell completes itself. */
const files = "files";

type Found = readonly Candidate[] | typeof files;

/** The line that tells the scripts to complete names of files. */
export const filesLine = ":files";

/** `words`: those after "swarmctl", the last one as far as it is typed. */
export async function complete(words: readonly string[], io: Io): Promise<void> {
  const silent = { ...io, stderr: { write: () => true } };
  await using context = new Context(silent);
  const typed = words.at(-1) ?? "";
  const before = words.slice(0, -1);
  // `help x y` is about what `x y` is.
  const meant = before[0] === "help" ? before.slice(1) : before;
  const found = await candidates(meant, typed, context).catch(() => []);
  if (found === files) {
    io.stdout.write(`${filesLine}\n`);
    return;
  }
  for (const { value, about } of found) {
    if (!value.startsWith(typed)) continue;
    io.stdout.write(about === undefined ? `${value}\n` : `${value}\t${about}\n`);
  }
}

async function candidates(
  before: readonly string[],
  typed: string,
  context: Context,
): Promise<Found> {
  const program = addPlaceOptions(new CliCommand("swarmctl"));
  const [first, second] = splitAtWords(before, program);
  const place = { ...first.place, ...second.place };
  context.useFlags(place);
  const waiting = first.waiting ?? second.waiting;
  if (waiting !== undefined) return await valuesOf(waiting, context);
  if (first.word === undefined) return withFlags(typed, program, commandWords());
  const noun = nouns.find((one) => isCalled(one, first.word));
  if (noun === undefined) {
    return await ofCommand(
      find(topCommands, first.word),
      { before: first.after, typed, place },
      context,
    );
  }
  if (second.word === undefined) {
    const verbs = noun.verbs.filter(({ hidden }) => !hidden);
    return withFlags(typed, program, verbs.map(candidateOf));
  }
  return await ofCommand(
    find(noun.verbs, second.word),
    { before: second.after, typed, place },
    context,
  );
}

interface Split {
  readonly word: string | undefined;
  readonly after: readonly string[];
  readonly waiting: Option | undefined;
  readonly place: PlaceFlags;
}

/** The first two words that are no flags, with what stands behind each. */
function splitAtWords(before: readonly string[], program: Command): readonly [Split, Split] {
  const first = splitAtWord(before, program);
  return [first, splitAtWord(first.after, program)];
}

function splitAtWord(before: readonly string[], program: Command): Split {
  let at = 0;
  const place: Record<string, string> = {};
  while (before[at]?.startsWith("-")) {
    const option = program.options.find(({ long }) => long === before[at]);
    const value = before[at + 1];
    at += 1;
    if (option === undefined) continue;
    if (value === undefined) return { word: undefined, after: [], waiting: option, place };
    place[option.attributeName()] = value;
    at += 1;
  }
  return { word: before[at], after: before.slice(at + 1), waiting: undefined, place };
}

function commandWords(): Candidate[] {
  return [...nouns, ...topCommands].map(candidateOf);
}

function candidateOf({ name, summary }: CommandFile | Noun): Candidate {
  return { value: name, about: summary };
}

function isCalled({ name, aliases = [] }: CommandFile | Noun, word = ""): boolean {
  return name === word || aliases.includes(word);
}

function find(all: readonly CommandFile[], word: string): CommandFile | undefined {
  return all.find((file) => isCalled(file, word));
}

interface Typing {
  readonly before: readonly string[];
  readonly typed: string;
  readonly place: PlaceFlags;
}

async function ofCommand(
  file: CommandFile | undefined,
  { before, typed, place }: Typing,
  context: Context,
): Promise<Found> {
  if (file === undefined) return [];
  const command = new CliCommand(file.name);
  (await file.load()).define(command, context);
  addPlaceOptions(command);
  const skipped = skipFlags(before, command);
  context.useFlags({ ...place, ...skipped.place });
  if (skipped.waiting !== undefined) return await valuesOf(skipped.waiting, context);
  const assigned = /^(--[\w-]+)=/.exec(typed)?.[1];
  if (assigned !== undefined) {
    const option = command.options.find(({ long }) => long === assigned);
    const values = option === undefined ? [] : await valuesOf(option, context);
    return values === files
      ? files
      : values.map(({ value }) => ({ value: `${assigned}=${value}` }));
  }
  if (typed.startsWith("-")) return withFlags(typed, command, []);
  const argument = argumentAt(command.registeredArguments, skipped.rest.length);
  return argument === undefined ? [] : await ofArgument(argument, skipped.rest, context);
}

interface Skipped {
  /** The words that are no flags and no flags' values. */
  readonly rest: readonly string[];
  /** The flag whose value the cursor is at. */
  readonly waiting: Option | undefined;
  readonly place: PlaceFlags;
}

function skipFlags(before: readonly string[], command: Command): Skipped {
  const rest: string[] = [];
  const place: Record<string, string> = {};
  let waiting: Option | undefined;
  for (const word of before) {
    if (waiting !== undefined) {
      if (placeOptions.includes(waiting)) place[waiting.attributeName()] = word;
      waiting = undefined;
    } else if (word.startsWith("-")) {
      const option = command.options.find(({ long, short }) => long === word || short === word);
      if (option?.required) waiting = option;
    } else {
      rest.push(word);
    }
  }
  return { rest, waiting, place };
}

/** Flags are shown to who asks for them by their dash. */
function withFlags(typed: string, command: Command, words: readonly Candidate[]): Candidate[] {
  if (!typed.startsWith("-")) return [...words];
  return command.options.flatMap(({ long, description, hidden }) =>
    long === undefined || hidden ? [] : [{ value: long, about: description }],
  );
}

async function valuesOf(option: Option, context: Context): Promise<Found> {
  const choices = option.argChoices ?? choicesOf(option);
  if (choices.length > 0) return choices.map((value) => ({ value }));
  if (option.long === "--filter") return filterKeys(option);
  const placeholder = /[<[]([^>\]]+)[>\]]/.exec(option.flags)?.[1] ?? "";
  if (/file|dir|folder|path/.test(placeholder)) return files;
  const kind = option.attributeName().replace(/(Add|Rm)$/, "");
  return isNameKind(kind) ? names(kind, context) : [];
}

/** A value that is no word at all is refused with the words that there are: "Choose one of: spread, binpack". */
function choicesOf({ parseArg }: Option): readonly string[] {
  try {
    parseArg?.("\u0000", undefined);
  } catch (thrown) {
    const words = thrown instanceof Error && /Choose one of: (.*)$/.exec(thrown.message)?.[1];
    if (words) return words.split(", ");
  }
  return [];
}

/** Its help names them: "id=, name=, label=KEY[=VALUE] (repeat)". */
function filterKeys({ description }: Option): Candidate[] {
  return [...description.matchAll(/([\w.!-]+)=(?!\])/g)].map(([key]) => ({ value: key }));
}

function argumentAt(all: readonly Argument[], index: number): Argument | undefined {
  const last = all.at(-1);
  return all[index] ?? (last?.variadic ? last : undefined);
}

async function ofArgument(
  argument: Argument,
  given: readonly string[],
  context: Context,
): Promise<Found> {
  if (argument.argChoices !== undefined) return argument.argChoices.map((value) => ({ value }));
  const name = argument.name();
  if (/^(file|from|to)$/.test(name)) return files;
  // "service=replicas" is completed up to the number.
  const suffix = name.includes("=") ? "=" : "";
  const kinds = name.replace(/=.*/, "").split("|").filter(isNameKind);
  const found = await Promise.all(kinds.map((kind) => names(kind, context)));
  return found
    .flat()
    .filter(({ value }) => !given.includes(value))
    .map(({ value }) => ({ value: `${value}${suffix}` }));
}

async function names(kind: Parameters<typeof namesOf>[0], context: Context): Promise<Candidate[]> {
  return (await namesOf(kind, context)).map((value) => ({ value }));
}
