/** Colours of text: on terminals alone, and never where the user's environment says NO_COLOR (no-color.org). */
import type { Io, Output } from "../io.ts";

const codes = { red: 31, green: 32, yellow: 33 } as const;

export type Colour = keyof typeof codes;

type Paint = (colour: Colour, text: string) => string;

export function painter({ env }: Pick<Io, "env">, output: Pick<Output, "isTTY">): Paint {
  const isPlain = !output.isTTY || Boolean(env["NO_COLOR"]) || env["TERM"] === "dumb";
  return (colour, text) => (isPlain ? text : `\x1b[${codes[colour]}m${text}\x1b[0m`);
}
