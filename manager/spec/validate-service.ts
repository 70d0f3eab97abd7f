/** What a service's spec must look like. Pure: the store is read for what the spec refers to, and for what others have. */
import { toBinary } from "@bufbuild/protobuf";
import {
  type ServiceSpec,
  ServiceSpecSchema,
  type TaskSpec,
} from "#proto/gen/swarm/v1/specs_pb.ts";
import { parseLogDriver } from "#proto/log-driver.ts";
import type { View } from "../store/store.ts";
import { checkAnnotations, checkDuration, invalid, parsed } from "./field.ts";
import { refuseUnsupported } from "./supported.ts";
import { completeAttachments } from "./validate-attachments.ts";
import { checkAutoscale } from "./validate-autoscale.ts";
import { checkContainer } from "./validate-container.ts";
import { checkPlacement } from "./validate-placement.ts";
import { checkDependsOn } from "./validate-depends.ts";
import { checkTasksSize, completeMode } from "./validate-mode.ts";
import { checkEndpoint } from "./validate-ports.ts";
import { completeReferences } from "./validate-references.ts";
import { checkResources } from "./validate-resources.ts";
import { checkTemplates } from "./validate-templates.ts";
import { checkRollback, checkUpdate } from "./validate-update.ts";

const specBytesMax = 512 * 1024;

/** The spec, if it holds, with its references completed. `serviceId`: whose spec it is, if it is an update. */
export function validateServiceSpec(
  spec: ServiceSpec | undefined,
  view: View,
  serviceId = "",
): ServiceSpec {
  if (spec === undefined) throw invalid("spec", "is missing");
  // First: what is left is of a size to be looked at.
  const sizeBytes = sizeOf(spec);
  checkAnnotations(spec.annotations);
  refuseUnsupported(ServiceSpecSchema, spec);
  const mode = completeMode(spec);
  checkAutoscale(spec, { isNew: serviceId === "" });
  checkDependsOn(spec, view);
  if (spec.update !== undefined) checkUpdate("update", spec.update);
  if (spec.rollback !== undefined) checkRollback("rollback", spec.rollback);
  if (spec.task === undefined) throw invalid("task", "is missing");
  checkTask(spec.task);
  checkPlacement("task", spec.task, mode);
  const networks = completeAttachments(spec, { serviceId, view });
  checkEndpoint(spec.endpoint, { networks, serviceId, view });
  const task = completeTask(spec.task, spec.annotations?.labels, view);
  checkTasksSize({ ...spec, mode }, sizeBytes);
  return { ...spec, mode, task: { ...task, networks } };
}

function completeTask(
  task: TaskSpec,
  labels: Readonly<Record<string, string>> = {},
  view: View,
): TaskSpec {
  if (task.runtime.case !== "container") return task;
  const path = "task.container";
  checkTemplates(path, task.runtime.value, labels);
  const value = completeReferences(path, task.runtime.value, view);
  return { ...task, runtime: { case: "container", value } };
}

function sizeOf(spec: ServiceSpec): number {
  const sizeBytes = toBinary(ServiceSpecSchema, spec).length;
  if (sizeBytes <= specBytesMax) return sizeBytes;
  throw invalid("spec", `has ${sizeBytes} bytes: use at most ${specBytesMax}`);
}

function checkTask(task: TaskSpec): void {
  if (task.runtime.case !== "container") throw invalid("task.container", "is missing");
  checkContainer("task.container", task.runtime.value);
  if (task.resources !== undefined) checkResources("task.resources", task.resources);
  parsed("task.log_driver", () => parseLogDriver(task.logDriver));
  checkDuration("task.restart.delay", task.restart?.delay);
  checkDuration("task.restart.window", task.restart?.window);
}
