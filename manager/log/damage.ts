/** How damage of the log is told: what, where, and what to do. */
import { Fault } from "#proto/fault.ts";

/**
 * An older copy of the file is no way out: it would have forgotten votes and entries that this server has answered for.
 */
export function damaged(path: string, what: string): Fault {
  const message = `the log "${path}" is damaged: ${what}; at another manager, demote this one and promote it again ("swarmctl node demote|promote"); where there is none, restore a backup ("swarmctl cluster restore")`;
  return new Fault("data-loss", message);
}
