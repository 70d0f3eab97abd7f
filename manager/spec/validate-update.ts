/** What the settings of updates and rollbacks must look like, as Swarm has it. Pure. */
import {
  type UpdateConfig,
  UpdateFailureAction,
  UpdateOrder,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { checkDuration, checkEnum, invalid } from "./field.ts";

export function checkUpdate(path: string, config: UpdateConfig): void {
  checkDuration(`${path}.delay`, config.delay);
  checkDuration(`${path}.monitor`, config.monitor);
  checkDuration(`${path}.progress_deadline`, config.progressDeadline);
  const action = config.failureAction;
  if (action !== undefined) checkEnum(`${path}.failure_action`, action, UpdateFailureAction);
  checkEnum(`${path}.order`, config.order, UpdateOrder);
  checkCanaries(path, config);
  const ratio = config.maxFailureRatio;
  if (ratio >= 0 && ratio <= 1) return;
  throw invalid(`${path}.max_failure_ratio`, `is ${ratio}: use 0 to 1`);
}

function checkCanaries(path: string, { canary, canaryPromoteAfter }: UpdateConfig): void {
  checkDuration(`${path}.canary_promote_after`, canaryPromoteAfter);
  if (canaryPromoteAfter === undefined || canary > 0n) return;
  const problem = "is set, but there are no canaries: set canary, too, or leave it out";
  throw invalid(`${path}.canary_promote_after`, problem);
}

export function checkRollback(path: string, config: UpdateConfig): void {
  checkUpdate(path, config);
  if (config.canary > 0n) {
    throw invalid(
      `${path}.canary`,
      "is set: a rollback goes back to what is known, all at its pace",
    );
  }
  if (config.failureAction !== UpdateFailureAction.ROLLBACK) return;
  throw invalid(
    `${path}.failure_action`,
    "is rollback, which it is already: use pause or continue",
  );
}
