/** Removes what tasks may still be on or read, with patience: they take their time to stop. */
import { Fault } from "#proto/fault.ts";
import type { Clock } from "#proto/ports.ts";
import type { ControlClient } from "./look.ts";

export interface Patience {
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** A network stays in use until the last task on it has stopped, which its grace period may delay. */
const retryMs = 250;
export const patienceMs = 60_000;

export async function removeNetwork(
  control: ControlClient,
  ref: string,
  { clock, signal }: Patience,
): Promise<void> {
  const deadline = clock.monotonic() + patienceMs;
  for (;;) {
    try {
      return await ignoreMissing(control.removeNetwork({ ref }, { signal }));
    } catch (thrown) {
      const inUse = Fault.from(thrown).code === "failed-precondition";
      if (!inUse || clock.monotonic() > deadline) throw thrown;
    }
    await clock.sleep(retryMs, signal);
  }
}

/** Somebody else was faster. */
export async function ignoreMissing(removal: Promise<unknown>): Promise<void> {
  try {
    await removal;
  } catch (thrown) {
    if (Fault.from(thrown).code !== "not-found") throw thrown;
  }
}
