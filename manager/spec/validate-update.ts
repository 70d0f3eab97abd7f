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
  checkEnum(`${path}.failure_action`, config.failureAction, UpdateFailureAction);
  checkEnum(`${path}.order`, config.order, UpdateOrder);
  const ratio = config.maxFailureRatio;
  if (ratio >= 0 && ratio <= 1) return;
  throw invalid(`${path}.max_failure_ratio`, `is ${ratio}: use 0 to 1`);
}

export function checkRollback(path: string, config: UpdateConfig): void {
  checkUpdate(path, config);
  if (config.failureAction !== UpdateFailureAction.ROLLBACK) return;
  throw invalid(
    `${path}.failure_action`,
    "is rollback, which it is already: use pause or continue",
  );
}
