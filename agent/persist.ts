/** What has to be done sooner or later, such as removing a container: tried again, with growing pauses, until it is done. */
import { Fault } from "#proto/fault.ts";
import type { Clock } from "#proto/ports.ts";

const pauseMsMin = 500;
const pauseMsMax = 60_000;

export interface PersistModules {
  readonly clock: Clock;
  /** Told of each failure, before the pause. */
  readonly onFailure: (fault: Fault, pauseMs: number) => void;
}

/** True when the work is done, false when the signal came first. */
export async function persist(
  work: () => Promise<void>,
  signal: AbortSignal,
  { clock, onFailure }: PersistModules,
): Promise<boolean> {
  for (let pauseMs = pauseMsMin; !signal.aborted; pauseMs = Math.min(pauseMs * 2, pauseMsMax)) {
    try {
      await work();
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      onFailure(Fault.from(error), pauseMs);
    }
    // It ends early by the signal only, which the loop asks for.
    await clock.sleep(pauseMs, signal).catch(() => undefined);
  }
  return false;
}
