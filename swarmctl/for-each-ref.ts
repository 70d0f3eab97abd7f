/** A command on several objects does what it can for each: one that fails keeps none of the others from their turn. */
import { Fault } from "#proto/fault.ts";
import { complain } from "./complain.ts";
import type { Context } from "./context.ts";

export async function forEachRef(
  context: Context,
  refs: readonly string[],
  act: (ref: string) => Promise<void>,
): Promise<void> {
  const faults: Fault[] = [];
  for (const ref of refs) {
    try {
      await act(ref);
    } catch (thrown) {
      if (!(thrown instanceof Fault)) throw thrown;
      faults.push(thrown);
    }
  }
  const last = faults.pop();
  for (const fault of faults) complain(context.io, fault.message);
  if (last !== undefined) throw last;
}
