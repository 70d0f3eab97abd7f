/**
 * WWW-Authenticate (RFC 9110, 11.6.1): `Bearer realm="https://…",service="…",scope="…", Basic realm="…"`. Foreign bytes:
 * what cannot be read is left out, and so is what comes after it. Pure.
 */

export interface Challenge {
  /** In small letters: "bearer", "basic". */
  readonly scheme: string;
  /** Names in small letters. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** More of them is nothing that a registry says. */
const challengesMax = 16;

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const gap = /[\s,]*/y;
const scheme = new RegExp(`(${token})(?=\\s|,|$)`, "y");
const parameter = new RegExp(`(${token})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|(${token}))`, "y");

export function parseChallenges(header: string): readonly Challenge[] {
  const found: { scheme: string; parameters: Map<string, string> }[] = [];
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const match = pattern.exec(header);
    at += match?.[0].length ?? 0;
    return match;
  };
  while (at < header.length && found.length <= challengesMax) {
    take(gap);
    const pair = take(parameter);
    if (pair !== null) {
      const [, name = "", quoted, plain = ""] = pair;
      found.at(-1)?.parameters.set(name.toLowerCase(), quoted?.replace(/\\(.)/g, "$1") ?? plain);
      continue;
    }
    const [, name] = take(scheme) ?? [];
    if (name === undefined) break;
    found.push({ scheme: name.toLowerCase(), parameters: new Map() });
  }
  return found.slice(0, challengesMax);
}
