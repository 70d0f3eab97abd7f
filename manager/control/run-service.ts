/** `RunService`: a run of a job now, whatever its schedule says. */
import { Fault } from "#proto/fault.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { RunOverlap } from "#proto/gen/swarm/v1/types_pb.ts";
import { isJob, isRunning, withRun } from "../job.ts";
import { publicService } from "../registry-login.ts";
import { resolve } from "../store/resolve.ts";
import type { ControlHandlers, ControlModules } from "./modules.ts";

export function runHandlers({
  store,
  clock,
}: Pick<ControlModules, "store" | "clock">): Pick<ControlHandlers, "runService"> {
  return {
    runService: async ({ ref }) => {
      await store.write((view) => {
        const service = resolve(view, "service", ref);
        refuse(service);
        const object = withRun(service, { nowMs: clock.now() });
        return [{ action: "update", kind: "service", object }];
      });
      return { service: publicService(resolve(store, "service", ref)) };
    },
  };
}

/** One without a schedule runs again, as after an update. */
function refuse(service: Service): void {
  const name = service.spec?.annotations?.name ?? "";
  const refusal = (problem: string) =>
    new Fault("failed-precondition", `Cannot run service "${name}" now: ${problem}`);
  if (!isJob(service)) throw refusal("it is not a job");
  const schedule = service.spec?.schedule;
  if (schedule?.overlap !== RunOverlap.FORBID) return;
  if (!(service.scheduleStatus?.runs ?? []).some(isRunning)) return;
  throw refusal("a run of it goes on, and its schedule forbids two at a time: wait for its end");
}
