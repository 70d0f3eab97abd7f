/**
 * Commander's command, with the habits of Docker's users: `--tty=false` as well as `--no-tty`, `-e=A=1` as well as `-e A=1`, and one line that says of a
 * word that is unknown which one was meant.
 */
import { Command, type Option, type ParseOptionsResult } from "commander";

export class CliCommand extends Command {
  #passesThrough = false;

  override passThroughOptions(passesThrough = true): this {
    this.#passesThrough = passesThrough;
    return super.passThroughOptions(passesThrough);
  }

  override parseOptions(words: string[]): ParseOptionsResult {
    return super.parseOptions(this.#asCommanderReads(words));
  }

  #asCommanderReads(words: readonly string[]): string[] {
    const plain: string[] = [];
    for (let at = 0; at < words.length; at += 1) {
      const word = words[at] ?? "";
      if (word === "--" || this.#endsFlags(word)) return [...plain, ...words.slice(at)];
      const option = this.#optionOf(word);
      if (option?.isBoolean() && word.includes("=")) {
        plain.push(...this.#booleanWords(option, word));
        continue;
      }
      if (option?.required && /^-\w=/.test(word)) {
        plain.push(word.slice(0, 2), word.slice(3));
        continue;
      }
      plain.push(word);
      const takesNext = option?.required && !word.includes("=") && isWhole(word, option);
      if (!takesNext) continue;
      at += 1;
      plain.push(...words.slice(at, at + 1));
    }
    return plain;
  }

  /** From a command's name on, or an image's, flags are another's. */
  #endsFlags(word: string): boolean {
    if (word.startsWith("-")) return false;
    return this.commands.length > 0 || this.#passesThrough;
  }

  #optionOf(word: string): Option | undefined {
    if (word.startsWith("--")) {
      const name = word.split("=", 1)[0];
      return this.options.find(({ long }) => long === name);
    }
    if (!/^-\w/.test(word)) return undefined;
    // Of `-it` the last letter may take a value; of `-eA=b` the first has taken it.
    const letters = (word.slice(1).split("=", 1)[0] ?? "").split("");
    for (const letter of letters) {
      const option = this.options.find(({ short }) => short === `-${letter}`);
      if (option === undefined || option.required) return option;
    }
    return this.options.find(({ short }) => short === `-${letters.at(-1)}`);
  }

  #booleanWords(option: Option, word: string): string[] {
    const name = word.slice(0, word.indexOf("="));
    const value = word.slice(name.length + 1);
    const meaning = Object.hasOwn(booleans, value) ? booleans[value] : undefined;
    if (meaning === undefined) {
      this.error(`error: option '${name}' argument '${value}' is invalid. Write true or false`);
    }
    if (meaning) return [name];
    const opposite = option.negate
      ? `--${option.name().replace(/^no-/, "")}`
      : `--no-${option.name()}`;
    // Without an opposite it is false unless it is given.
    return this.options.some(({ long }) => long === opposite) ? [opposite] : [];
  }
}

/** As Go reads them. */
const booleans: Readonly<Record<string, boolean>> = Object.fromEntries([
  ...["1", "t", "T", "true", "True", "TRUE"].map((word) => [word, true]),
  ...["0", "f", "F", "false", "False", "FALSE"].map((word) => [word, false]),
]) as Record<string, boolean>;

/** Whether the word is the flag alone, so that its value is the next one. */
function isWhole(word: string, option: Option): boolean {
  return word.startsWith("--") || `-${word.at(-1)}` === option.short;
}

/** "unknown flag --replica, did you mean --replicas?" */
export function oneLine(message: string): string {
  return message
    .replace(/^error: /, "")
    .replace(/^unknown option '([^']*)'/, "unknown flag $1")
    .replace(/^unknown command '([^']*)'/, 'unknown command "$1"')
    .replace(/\n\(Did you mean (?:one of )?(.*)\?\)/, (_, words: string) => {
      return `, did you mean ${words.replace(/, (?=[^,]*$)/, " or ")}?`;
    });
}
