/** Takes up what this node has of volumes and of files of secrets, for the containers of its tasks. */
import { mkdir, realpath } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { systemRandom } from "#proto/system-ports.ts";
import type { Clock, Log } from "#proto/ports.ts";
import type { Exec } from "../exec.ts";
import { ociArchitecture } from "../node-description.ts";
import { FileObjects } from "../secret/file-objects.ts";
import { SecretFiles } from "../secret/secret-files.ts";
import { VolumeStore } from "../volume/volume-store.ts";
import { TaskMounts } from "./task-mounts.ts";

export interface Mounts {
  readonly tasks: TaskMounts;
  readonly volumes: VolumeStore;
  readonly fileObjects: FileObjects;
}

export interface MountsOptions {
  readonly stateRoot: string;
  readonly runRoot: string;
}

export async function openMounts(
  options: MountsOptions,
  modules: { readonly exec: Exec; readonly clock: Clock; readonly log: Log },
): Promise<Mounts> {
  await mkdir(options.runRoot, { recursive: true });
  // As the kernel names mount points.
  const runRoot = await realpath(options.runRoot);
  const volumes = await VolumeStore.open(join(options.stateRoot, "volumes"), {
    ...modules,
    random: systemRandom,
  });
  const secretFiles = new SecretFiles(join(runRoot, "secrets"), modules.exec);
  const fileObjects = new FileObjects();
  const node = { hostname: hostname(), os: "linux", architecture: ociArchitecture() };
  const tasks = new TaskMounts(
    { subpathsFolder: join(runRoot, "volumes"), node },
    { ...modules, volumes, secretFiles, fileObjects },
  );
  return { tasks, volumes, fileObjects };
}
