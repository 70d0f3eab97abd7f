/**
 * What a deployment does to the secrets and configs of a stack. Pure. Their data cannot change: where the stack's is
 * another one than the cluster's, a new version takes the name, and the services that use it are updated with it.
 */
import { Fault } from "#proto/fault.ts";
import type { FieldChange } from "./field-changes.ts";
import { type FileNoun, type FileObject, fileName, type FileWish } from "./file-api.ts";
import { stackOf } from "./stack.ts";

export interface FileStep {
  readonly kind: "create-file" | "rotate-file" | "relabel-file";
  readonly noun: FileNoun;
  readonly wish: FileWish;
  /** Of all but those that are created. */
  readonly present?: FileObject;
}

export interface FilesWish {
  readonly noun: FileNoun;
  readonly stack: string;
  readonly wishes: readonly FileWish[];
  /** Names of what others make. */
  readonly external: readonly string[];
}

/** `changed`: IDs of those that hold something else than the stack wants. */
export function planFiles(
  { noun, stack, wishes, external }: FilesWish,
  present: readonly FileObject[],
  changed: ReadonlySet<string>,
): FileStep[] {
  const byName = new Map(present.map((object) => [fileName(object), object]));
  const missing = external.find((name) => !byName.has(name));
  if (missing !== undefined) {
    const message = `${capital(noun)} "${missing}" is external to the stack and does not exist: create it first`;
    throw new Fault("failed-precondition", message);
  }
  return wishes.flatMap((wish): FileStep[] => {
    const object = byName.get(wish.name);
    if (object === undefined) return [{ kind: "create-file", noun, wish }];
    checkOwned(noun, stack, object);
    checkTemplate(noun, object, wish);
    if (changed.has(object.id)) return [{ kind: "rotate-file", noun, wish, present: object }];
    const relabel: FileStep = { kind: "relabel-file", noun, wish, present: object };
    return fileStepChanges(relabel).length === 0 ? [] : [relabel];
  });
}

function checkOwned(noun: FileNoun, stack: string, object: FileObject): void {
  if (stackOf(object.spec?.annotations?.labels) === stack) return;
  const message = `${capital(noun)} "${fileName(object)}" is there already and is not the stack's: remove it, choose another name, or call it external`;
  throw new Fault("already-exists", message);
}

function checkTemplate(noun: FileNoun, { spec }: FileObject, wish: FileWish): void {
  const before = spec?.templating?.name;
  if (before === wish.templateDriver) return;
  const message = `${capital(noun)} "${wish.name}" has ${before === undefined ? "no template_driver" : `the template_driver "${before}"`} in the cluster, which cannot change: give it another name in the file`;
  throw new Fault("failed-precondition", message);
}

function capital(noun: string): string {
  return noun.slice(0, 1).toUpperCase() + noun.slice(1);
}

/** Where the data is another one, that alone is said of it. */
export function fileStepChanges({ kind, wish, present }: FileStep): FieldChange[] {
  const before = present?.spec?.annotations?.labels ?? {};
  const labels = [...new Set([...Object.keys(before), ...Object.keys(wish.labels)])]
    .filter((key) => before[key] !== wish.labels[key])
    .map((key) => ({ path: `labels[${key}]`, before: before[key], after: wish.labels[key] }));
  const data = { path: "data", before: "(data)", after: "(other data)" };
  return kind === "rotate-file" ? [data, ...labels] : labels;
}
