/**
 * What a deployment does to the secrets and configs of a stack. Pure. Their data cannot change: where the stack's is
 * another one than the cluster's, a new version takes the name, and the services that use it are updated with it.
 */
import { Fault } from "#proto/fault.ts";
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
    if (sameLabels(object, wish)) return [];
    return [{ kind: "relabel-file", noun, wish, present: object }];
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

export function sameLabels({ spec }: FileObject, { labels }: FileWish): boolean {
  const before = spec?.annotations?.labels ?? {};
  const keys = new Set([...Object.keys(before), ...Object.keys(labels)]);
  return [...keys].every((key) => before[key] === labels[key]);
}

function capital(noun: string): string {
  return noun.slice(0, 1).toUpperCase() + noun.slice(1);
}
