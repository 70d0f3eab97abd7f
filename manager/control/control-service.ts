/** The control API: the handlers of every noun, as one service. */
import { clusterHandlers } from "./cluster.ts";
import { logHandlers } from "./logs.ts";
import type { ControlHandlers, ControlModules } from "./modules.ts";
import { networkHandlers } from "./network.ts";
import { nodeHandlers } from "./node.ts";
import { serviceHandlers } from "./service.ts";
import { taskHandlers } from "./task.ts";
import { watchHandlers } from "./watch.ts";

export function controlHandlers(modules: ControlModules): ControlHandlers {
  return {
    ...clusterHandlers(modules),
    ...nodeHandlers(modules),
    ...serviceHandlers(modules),
    ...taskHandlers(modules),
    ...networkHandlers(modules),
    ...logHandlers(modules),
    ...watchHandlers(modules),
  };
}
