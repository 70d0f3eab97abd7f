/** How every command says on stderr what went wrong. Part of the words may come from a registry, an image or a container. */
import type { Io } from "./io.ts";
import { visibleLines } from "./output/table.ts";

export function complain({ stderr }: Pick<Io, "stderr">, message: string): void {
  stderr.write(`swarmctl: ${visibleLines(message)}\n`);
}
