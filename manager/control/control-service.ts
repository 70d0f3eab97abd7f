/** The control API: the handlers of every noun, as one service. */
import { backupHandlers } from "./backup.ts";
import { clusterHandlers } from "./cluster.ts";
import { configHandlers } from "./config.ts";
import { behindBarrier } from "./freshness.ts";
import { logHandlers } from "./logs.ts";
import type { ControlHandlers, ControlModules } from "./modules.ts";
import { networkHandlers } from "./network.ts";
import { nodeHandlers } from "./node.ts";
import { runHandlers } from "./run-service.ts";
import { secretHandlers } from "./secret.ts";
import { serviceHandlers } from "./service.ts";
import { taskHandlers } from "./task.ts";
import { watchHandlers } from "./watch.ts";

export function controlHandlers(modules: ControlModules): ControlHandlers {
  const handlers = {
    ...clusterHandlers(modules),
    ...backupHandlers(modules),
    ...nodeHandlers(modules),
    ...serviceHandlers(modules),
    ...runHandlers(modules),
    ...taskHandlers(modules),
    ...networkHandlers(modules),
    ...configHandlers(modules),
    ...secretHandlers(modules),
    ...logHandlers(modules),
    ...watchHandlers(modules),
  };
  return behindBarrier(handlers, modules.replication);
}
