import { encodeBackup } from "../backup/backup-file.ts";
import { theCluster } from "./cluster.ts";
import type { ControlHandlers, ControlModules } from "./modules.ts";

/** A message carries about this much: few calls, and none that holds up others for long. */
const messageBytes = 256 * 1024;

export function backupHandlers({
  store,
  clock,
}: Pick<ControlModules, "store" | "clock">): Pick<ControlHandlers, "backupCluster"> {
  return {
    async *backupCluster() {
      const { id: clusterId } = theCluster(store);
      const header = { clusterId, index: store.index, takenAtMs: clock.now() };
      for (const data of gather(encodeBackup(header, store.snapshot()))) yield { data };
    },
  };
}

function* gather(parts: Iterable<Uint8Array>): Iterable<Uint8Array> {
  let waiting: Uint8Array[] = [];
  let waitingBytes = 0;
  for (const part of parts) {
    waiting.push(part);
    waitingBytes += part.length;
    if (waitingBytes < messageBytes) continue;
    yield Buffer.concat(waiting);
    waiting = [];
    waitingBytes = 0;
  }
  if (waiting.length > 0) yield Buffer.concat(waiting);
}
