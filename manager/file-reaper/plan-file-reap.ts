/**
 * Which secrets and configs that were rotated nobody needs any more: no spec refers to them, no update that may yet go back to
 * the spec before it, and no task that may still run. Pure.
 *
 * A rollback that comes later finds the present object by its name (manager/spec/validate-references.ts).
 */
import type { Secret, Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { TaskSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { UpdateState } from "#proto/gen/swarm/v1/types_pb.ts";
import { type FileNoun, fileIdsOf } from "../file-references.ts";
import type { Action } from "../store/objects.ts";
import type { View } from "../store/store.ts";
import { isAlive } from "../task.ts";

type FileView = Pick<View, "list" | "tasksOfService">;

export function planFileReap(view: FileView): readonly Action[] {
  const secrets = view.list("secret").filter(({ rotatedFrom }) => rotatedFrom !== "");
  const configs = view.list("config").filter(({ rotatedFrom }) => rotatedFrom !== "");
  if (secrets.length === 0 && configs.length === 0) return [];
  const specs = neededSpecs(view);
  const [usedSecrets, usedConfigs] = [usedIds("secret", specs), usedIds("config", specs)];
  return [
    ...secrets
      .filter(({ id }) => !usedSecrets.has(id))
      .map((object) => ({ action: "remove", kind: "secret", object }) as const),
    ...configs
      .filter(({ id }) => !usedConfigs.has(id))
      .map((object) => ({ action: "remove", kind: "config", object }) as const),
  ];
}

/** Whether it was rotated, and is not to go yet. */
export function isStillNeeded(
  view: FileView,
  noun: FileNoun,
  { id, rotatedFrom }: Pick<Secret, "id" | "rotatedFrom">,
): boolean {
  return rotatedFrom !== "" && usedIds(noun, neededSpecs(view)).has(id);
}

function usedIds(noun: FileNoun, specs: readonly (TaskSpec | undefined)[]): ReadonlySet<string> {
  return new Set(specs.flatMap((spec) => fileIdsOf(noun, spec)));
}

function neededSpecs(view: FileView): (TaskSpec | undefined)[] {
  const services = view.list("service");
  return [
    ...services.map(({ spec }) => spec?.task),
    ...services
      .filter((service) => mayGoBack(service, view))
      .map(({ previousSpec }) => previousSpec?.task),
    ...view
      .list("task")
      .filter(isAlive)
      .map(({ spec }) => spec),
  ];
}

/** Whether an update of it is under way, waits, or is about to begin. */
function mayGoBack({ id, updateStatus, specVersion }: Service, view: FileView): boolean {
  switch (updateStatus?.state) {
    case UpdateState.COMPLETED:
    case UpdateState.ROLLBACK_COMPLETED:
      return false;
    case undefined:
      return view
        .tasksOfService(id)
        .some((task) => isAlive(task) && task.specVersion?.index !== specVersion?.index);
    default:
      return true;
  }
}
