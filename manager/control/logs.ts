import type { ControlHandlers, ControlModules } from "./modules.ts";

export function logHandlers({
  logBroker,
}: Pick<ControlModules, "logBroker">): Pick<ControlHandlers, "subscribeLogs"> {
  return {
    subscribeLogs: (request, { signal }) => logBroker.subscribe(request, signal),
  };
}
