/** Enums of the contract as people read and write them: "drain". */

type Enum = Readonly<Record<string, number>>;

export function wordOf(words: Enum, value: number): string {
  const entry = Object.entries(words).find(([, number]) => number === value);
  return entry === undefined ? String(value) : entry[0].toLowerCase();
}

export function wordsOf(words: Enum): string[] {
  return Object.keys(words).map((word) => word.toLowerCase());
}
