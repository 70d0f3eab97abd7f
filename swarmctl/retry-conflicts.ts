/** Reads, changes and writes back, again from the start when somebody else was faster. */
import { Fault } from "#proto/fault.ts";

const attemptsMax = 5;

export async function retryConflicts<T>(change: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await change();
    } catch (thrown) {
      if (Fault.from(thrown).code !== "conflict" || attempt === attemptsMax) throw thrown;
    }
  }
}
