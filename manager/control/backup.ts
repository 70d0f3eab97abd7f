import { encodeBackup } from "../backup/backup-file.ts";
import { gather } from "../backup/gather.ts";
import { theCluster } from "./cluster.ts";
import type { ControlHandlers, ControlModules } from "./modules.ts";

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
