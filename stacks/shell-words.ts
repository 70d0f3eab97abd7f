/**
 * A command line as words, as a shell would split it and as stack files and --entrypoint have it: quotes and backslashes
 * count, comments go, nothing is expanded. POSIX Shell Command Language 2.2.
 */
import { Fault } from "#proto/fault.ts";

/** A single-quoted, double-quoted, escaped or plain stretch, or what is none. */
const stretch = /'([^']*)'|"((?:[^"\\]|\\[^])*)"|\\([^])|([^\s'"\\]+)|([^])/.source;

export function parseShellWords(text: string): string[] {
  // Between words a # begins a comment; inside of one it is a character.
  const between = new RegExp(`(\\s+|#[^\\n]*)|${stretch}`, "y");
  const inside = new RegExp(`(\\s+)|${stretch}`, "y");
  const words: string[] = [];
  let word: string | undefined;
  for (let at = 0; at < text.length; ) {
    const piece: RegExp = word === undefined ? between : inside;
    piece.lastIndex = at;
    const [whole = "", blank, single, double, escaped, plain, stray] = piece.exec(text) ?? [];
    if (stray !== undefined) throw unfinished(text, stray);
    if (blank === undefined) {
      word = (word ?? "") + (single ?? unescape(double) ?? continued(escaped) ?? plain ?? "");
    } else if (word !== undefined) {
      words.push(word);
      word = undefined;
    }
    at += whole.length;
  }
  return word === undefined ? words : [...words, word];
}

/** Between double quotes a backslash escapes only these; before any other character it is itself. */
function unescape(quoted: string | undefined): string | undefined {
  return quoted?.replace(/\\([$`"\\\n])/g, (_, escaped: string) => continued(escaped) ?? "");
}

/** A backslash before the end of a line joins the two lines. */
function continued(escaped: string | undefined): string | undefined {
  return escaped === "\n" ? "" : escaped;
}

function unfinished(text: string, stray: string): Fault {
  const what = stray === "\\" ? "ends with a backslash" : `has a ${stray} without its partner`;
  return new Fault("invalid-argument", `"${text}" ${what}`);
}
