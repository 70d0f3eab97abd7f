/**
 * Lets everything happen that needs no time: all promises that are settled are followed, however long the chain. One
 * turn of the event loop does that, and it is the only thing of the real world that the simulation waits for.
 */
import { setImmediate } from "node:timers/promises";

export async function settle(): Promise<void> {
  await setImmediate();
}
