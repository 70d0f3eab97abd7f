import { encodeBackup } from "../backup/backup-file.ts";
import { gather } from "../backup/gather.ts";
import { theCluster } from "./cluster.ts";
import type { ControlHandlers, ControlModules } from "./modules.ts";

export function backupHandlers({
  store,
  clock,
  random,
}: Pick<ControlModules, "store" | "clock" | "random">): Pick<ControlHandlers, "backupCluster"> {
  return {
    async *backupCluster() {
      const { id: clusterId, unlockKey } = theCluster(store);
      const header = { clusterId, index: store.index, takenAtMs: clock.now() };
      const parts = encodeBackup(header, store.snapshot(), { unlockKey, random });
      for (const data of gather(parts)) yield { data };
    },
  };
}
