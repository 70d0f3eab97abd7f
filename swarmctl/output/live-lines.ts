/** Progress as text: lines that replace each other on a terminal, each new line once anywhere else. */
import type { Output } from "../io.ts";
import { truncate, visible } from "./table.ts";

type ShowLines = (lines: readonly string[]) => void;

/** `paint` colours lines that are cut to the terminal's width already. */
export function liveLines(output: Output, paint = (line: string): string => line): ShowLines {
  return output.isTTY ? onTerminal(output, paint) : oneByOne(output);
}

function oneByOne(output: Output): ShowLines {
  const told = new Set<string>();
  return (lines) => {
    for (const line of lines) {
      if (told.has(line)) continue;
      told.add(line);
      output.write(`${visible(line)}\n`);
    }
  };
}

function onTerminal(output: Output, paint: (line: string) => string): ShowLines {
  let shown = "";
  return (lines) => {
    // Terminals that programs make may tell 0 of both: it is not known.
    const width = (output.columns || 80) - 1;
    // A picture that is higher than the terminal could not be drawn over.
    const height = output.rows ? Math.max(1, output.rows - 1) : lines.length;
    const drawn = lines.slice(0, height);
    const text = drawn.map((line) => `\x1b[K${paint(truncate(visible(line), width))}\n`).join("");
    if (text === shown) return;
    // Back to the first of the lines shown before; what is left of them below is erased.
    const back = shown === "" ? "" : `\x1b[${shown.split("\n").length - 1}A\r`;
    shown = text;
    output.write(`${back}${text}\x1b[J`);
  };
}
