/** What a manager did all the same, and its user should know. */
import type { Context } from "./context.ts";
import { visibleLines } from "./output/table.ts";

export function printWarnings({ io }: Context, warnings: readonly string[]): void {
  for (const warning of warnings) io.stderr.write(`${visibleLines(warning)}\n`);
}
