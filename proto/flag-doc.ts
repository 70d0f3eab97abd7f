/** A program's flags as data, from which its help and the documented form of its configuration file are made. Pure. */

export interface FlagDoc {
  readonly name: string;
  /** What stands for its value: "DIR". */
  readonly argument: string;
  /** A phrase without a full stop. */
  readonly text: string;
  /** Of a flag that may be repeated: a list. */
  readonly default?: string | readonly string[];
  /** What is in effect where nothing is said and the default is no value: "nowhere". */
  readonly otherwise?: string;
  /** Values that show how it is written. A map: each is NAME=VALUE. */
  readonly example?: string | readonly string[] | Readonly<Record<string, string>>;
}

const textColumn = 32;
const widthMax = 112;

/** The lines of a help text, each of them ended. */
export function describeFlags(docs: readonly FlagDoc[]): string {
  return docs.map(describeFlag).join("");
}

function describeFlag(doc: FlagDoc): string {
  const head = `  --${doc.name} ${doc.argument}`;
  const lines = wrapWords(phraseOf(doc), widthMax - textColumn);
  const indent = " ".repeat(textColumn);
  const own = head.length < textColumn - 1 ? undefined : head;
  const [first = "", ...rest] = lines;
  const start = own === undefined ? [head.padEnd(textColumn) + first] : [own, indent + first];
  return [...start, ...rest.map((line) => indent + line)].map((line) => `${line}\n`).join("");
}

/** What the flag does, and what holds without it. */
export function phraseOf({ text, default: value, otherwise }: FlagDoc): string {
  const standing = otherwise ?? (Array.isArray(value) ? value.join(" and ") : value);
  return standing === undefined ? text : `${text} (default ${String(standing)})`;
}

/** At most `width` characters a line, but for words that are longer. */
export function wrapWords(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}
