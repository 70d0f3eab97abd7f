/** Aligned columns of text, and text of others' that is safe to show. */
import type { Output } from "../io.ts";

const gap = "   ";

/** Lines of a table, header first, without trailing spaces. */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const lines = [header, ...rows].map((cells) => cells.map(visible));
  const widths = header.map((_, column) => widest(lines, column));
  return lines
    .map((cells) => cells.map((cell, column) => pad(cell, widths[column] ?? 0)).join(gap))
    .map((line) => `${line.trimEnd()}\n`)
    .join("");
}

/** One after the other: there may be more rows than a call takes arguments. */
function widest(lines: readonly (readonly string[])[], column: number): number {
  return lines.reduce((width, cells) => Math.max(width, displayWidth(cells[column] ?? "")), 0);
}

function pad(cell: string, width: number): string {
  return cell + " ".repeat(Math.max(0, width - displayWidth(cell)));
}

/** What nodes and containers report must neither break lines, nor steer the terminal, nor turn its writing around. */
export function visible(text: string): string {
  return text.replace(/[\p{Cc}\u2028-\u202e\u2066-\u2069]+/gu, " ");
}

/** The same of text whose lines and tabs are meant. */
export function visibleLines(text: string): string {
  return text.replace(/[^\n\t]+/g, (part) => visible(part));
}

/** Programs get text as it is, people what a terminal can show. */
export function shownOn({ isTTY }: Pick<Output, "isTTY">, text: string): string {
  return isTTY ? visibleLines(text) : text;
}

/** Terminal columns: East Asian wide characters and emoji take two, combining marks none. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const character of text) {
    if (/\p{Mark}|\p{Cf}/u.test(character)) continue;
    width += wide.test(character) ? 2 : 1;
  }
  return width;
}

// UAX #11: Hangul, CJK, kana, fullwidth forms; and what terminals draw as coloured emoji.
const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;

export function truncate(text: string, widthMax: number): string {
  if (displayWidth(text) <= widthMax) return text;
  let kept = "";
  let width = 0;
  for (const character of text) {
    width += displayWidth(character);
    if (width > widthMax - 1) break;
    kept += character;
  }
  return `${kept}…`;
}

/** By code points, the same on every machine. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
