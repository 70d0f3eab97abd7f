/** References as users write them: an ID, a name, or the beginning of an ID that only one object has. */
import { Fault } from "#proto/fault.ts";
import { idLength } from "#proto/ids.ts";
import type { Kind, Objects } from "./objects.ts";
import type { View } from "./store.ts";

export type Noun = Extract<Kind, "node" | "service" | "task" | "network" | "config" | "secret">;

/** How many candidates an ambiguous reference lists. */
const candidatesMax = 5;

const namesOf: { readonly [K in Noun]: (object: Objects[K]) => readonly string[] } = {
  node: (node) => [node.spec?.annotations?.name ?? "", node.description?.hostname ?? ""],
  service: (service) => [service.spec?.annotations?.name ?? ""],
  task: (task) => [`${slotName(task)}.${task.id}`],
  network: (network) => [network.spec?.annotations?.name ?? ""],
  config: (config) => [config.spec?.annotations?.name ?? ""],
  secret: (secret) => [secret.spec?.annotations?.name ?? ""],
};

/** The object that `ref` means: a whole ID goes before a name, a name before the beginning of an ID. */
export function resolve<K extends Noun>(view: View, kind: K, ref: string): Objects[K] {
  if (ref === "") throw new Fault("invalid-argument", `the ${kind} is missing: name one`);
  const found = find(view, kind, ref);
  if (found === undefined) throw new Fault("not-found", `${kind} "${ref}" not found`);
  return found;
}

/** Like `resolve`, but undefined where nothing matches; an ambiguous reference is a Fault still. */
export function find<K extends Noun>(view: View, kind: K, ref: string): Objects[K] | undefined {
  const exact = view.get(kind, ref);
  if (exact !== undefined || ref === "") return exact;
  const objects = view.list(kind);
  const named = objects.filter((object) => namesOf[kind](object).includes(ref));
  if (named.length > 0) return onlyOne(kind, ref, named);
  if (kind === "task") {
    const newest = newestInSlot(objects as readonly Objects["task"][], ref);
    // `kind` is "task", so K is too.
    if (newest !== undefined) return newest as Objects[K];
  }
  if (ref.length >= idLength) return undefined;
  return onlyOne(
    kind,
    ref,
    objects.filter(({ id }) => id.startsWith(ref)),
  );
}

function onlyOne<K extends Noun>(
  kind: K,
  ref: string,
  objects: readonly Objects[K][],
): Objects[K] | undefined {
  if (objects.length <= 1) return objects[0];
  const names = objects.slice(0, candidatesMax).map((object) => {
    const name = namesOf[kind](object).find((text) => text !== "");
    return name === undefined ? object.id : `${object.id} (${name})`;
  });
  const rest = objects.length > candidatesMax ? ` and ${objects.length - candidatesMax} more` : "";
  const message = `${kind} "${ref}" is ambiguous, it matches ${names.join(", ")}${rest}: write more of the ID`;
  throw new Fault("invalid-argument", message);
}

/** "web.3", the name that the tasks of one slot share. */
export function slotName(task: Objects["task"]): string {
  const service = task.serviceAnnotations?.name ?? task.serviceId;
  return `${service}.${task.slot > 0n ? task.slot : task.nodeId}`;
}

function newestInSlot(
  tasks: readonly Objects["task"][],
  name: string,
): Objects["task"] | undefined {
  return tasks.findLast((task) => slotName(task) === name);
}
