/** How damage of the log is told: what, where, and what to do. */
import { Fault } from "#proto/fault.ts";

/**
 * An older copy of the file is no way out: it would have forgotten votes and entries that this server has answered for.
 */
export function damaged(path: string, what: string): Fault {
  const message = `the log "${path}" is damaged: ${what}; remove this manager and join it anew, or restore the cluster with "swarmctl cluster restore"`;
  return new Fault("data-loss", message);
}
