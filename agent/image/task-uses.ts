/**
 * Which images the tasks of this node use. Read from the tasks' own folders, which say it also of tasks that an earlier
 * run of this program started: the reference, and the layers that the container has mounted, whatever the reference
 * stands for by now.
 */
import { readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, Fault } from "#proto/fault.ts";
import { msFromTimestamp } from "#proto/time.ts";
import { formatReference, parseReference } from "#registry/reference.ts";
import { TaskFiles } from "../task/task-files.ts";
import type { ImageView } from "./image-views.ts";

export interface TaskUse {
  readonly taskId: string;
  readonly serviceId: string;
  /** Full form. */
  readonly reference: string;
  /** Whether the task still runs or is about to; one that has ended is here for its log. */
  readonly isLive: boolean;
  readonly createdAtMs: number;
  /** Folders of layers, base first. */
  readonly layers: readonly string[];
}

export type ReadTaskUses = () => Promise<readonly TaskUse[]>;

export async function readTaskUses(tasksFolder: string): Promise<readonly TaskUse[]> {
  const files = new TaskFiles(tasksFolder);
  const uses: TaskUse[] = [];
  for (const taskId of await files.list()) {
    const stored = await files.load(taskId);
    const runtime = stored?.task.spec?.runtime;
    if (stored === undefined || runtime?.case !== "container") continue;
    const reference = fullName(runtime.value.image);
    if (reference === undefined) continue;
    uses.push({
      taskId,
      serviceId: stored.task.serviceId,
      reference,
      isLive: stored.state.phase.kind !== "ended",
      createdAtMs: msFromTimestamp(stored.task.meta?.createdAt),
      layers: await linkedLayers(join(tasksFolder, taskId, "l")),
    });
  }
  return uses;
}

/** Undefined where it is no name: such a task has no image. */
function fullName(image: string): string | undefined {
  try {
    return formatReference(parseReference(image));
  } catch (error) {
    if (error instanceof Fault && error.code === "invalid-argument") return undefined;
    throw error;
  }
}

/** See container/rootfs.ts: a link for each layer, named by its place. */
async function linkedLayers(folder: string): Promise<readonly string[]> {
  try {
    const names = (await readdir(folder)).toSorted((a, b) => Number(a) - Number(b));
    const targets = await Promise.all(names.map((name) => readlink(join(folder, name))));
    return targets;
  } catch (error) {
    // EINVAL: an image without layers has a folder of its own there.
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "EINVAL") return [];
    throw error;
  }
}

/** The tasks that use the image: by name, or because their containers have its layers. */
export function usesOf(view: ImageView, uses: readonly TaskUse[]): readonly TaskUse[] {
  const references = new Set(view.held.map(({ reference }) => reference));
  const layers = view.held[0].layers.join("\n");
  return uses.filter(
    (use) => references.has(use.reference) || (layers !== "" && use.layers.join("\n") === layers),
  );
}

/** Folders of layers that containers have mounted. */
export function layersInUse(uses: readonly TaskUse[]): ReadonlySet<string> {
  return new Set(uses.filter(({ isLive }) => isLive).flatMap(({ layers }) => layers));
}
