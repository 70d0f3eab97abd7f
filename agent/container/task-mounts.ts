/**
 * What a task's containers find mounted of the host: volumes, bound folders, files of secrets and configs. Made when they
 * are needed, kept while they are, and free afterwards whatever came in between.
 *
 * A task has its named volumes and its files from its preparation to its end, so that nobody removes them between two
 * attempts; what was made for one container goes with that.
 */
import { constants, existsSync } from "node:fs";
import { access, mkdir, readdir, realpath, rm } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, Fault } from "#proto/fault.ts";
import { configFile, secretFile } from "#proto/file-target.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { ContainerSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { type Mount, MountPropagation, MountType } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Log } from "#proto/ports.ts";
import type { Exec } from "../exec.ts";
import { planFiles } from "../secret/file-content.ts";
import type { FileObjects } from "../secret/file-objects.ts";
import type { SecretFiles } from "../secret/secret-files.ts";
import { mountOf, readMountPoints, readMounts } from "../volume/mount-table.ts";
import { mountSubpath } from "../volume/subpath.ts";
import type { VolumeStore, VolumeWish } from "../volume/volume-store.ts";
import { type NodeFacts, templateValues } from "./complete-task.ts";
import { isShared, type MountPlaces, sharesMounts } from "./mounts.ts";

export interface TaskMountsModules {
  readonly volumes: VolumeStore;
  readonly secretFiles: SecretFiles;
  readonly fileObjects: FileObjects;
  readonly exec: Exec;
  readonly log: Log;
}

export interface TaskMountsOptions {
  /** Where parts of volumes are mounted. A real path. */
  readonly subpathsFolder: string;
  readonly node: NodeFacts;
}

/** The place in which a container is made. */
export interface Site {
  readonly taskFolder: string;
  readonly layers: readonly string[];
  readonly signal: AbortSignal;
}

export class TaskMounts {
  readonly #options: TaskMountsOptions;
  readonly #modules: TaskMountsModules;

  constructor(options: TaskMountsOptions, modules: TaskMountsModules) {
    this.#options = options;
    this.#modules = modules;
  }

  get node(): NodeFacts {
    return this.#options.node;
  }

  /** Refuses what is not there, takes hold of named volumes, and puts the files of secrets in their place. */
  async prepare(task: Task, signal: AbortSignal): Promise<void> {
    const container = containerOf(task);
    for (const mount of container.mounts) {
      if (mount.type === MountType.BIND) {
        await findSource(mount);
        await checkPropagation(mount);
      }
      if (mount.type === MountType.VOLUME && mount.source !== "") {
        await this.#modules.volumes.claim(task.id, wishOf(mount));
      }
    }
    await this.#writeFiles(task, container, signal);
  }

  /** Everything that a container of the task needs, mounted. */
  async open(task: Task, site: Site): Promise<MountPlaces> {
    const container = containerOf(task);
    const volumes = new Map<string, string>();
    for (const [index, mount] of container.mounts.entries()) {
      if (mount.type !== MountType.VOLUME) continue;
      volumes.set(mount.target, await this.#openVolume(task.id, mount, { ...site, index }));
    }
    if (sharesMounts(container)) await this.#setApart(task.id, site.taskFolder);
    const placed = this.#modules.secretFiles.placed(task.id, pathsOf(container));
    return { volumes, files: new Map(placed.map(({ path, source }) => [path, source])) };
  }

  /** The files on the host that the task's containers read: of its secrets and configs. */
  filesOf(task: Task): readonly string[] {
    const paths = pathsOf(containerOf(task));
    return this.#modules.secretFiles.placed(task.id, paths).map(({ source }) => source);
  }

  /** A container of the task is gone. */
  async close(taskId: string): Promise<void> {
    await this.#unmountOwn(taskId);
    await this.#modules.volumes.release(taskId, "own");
  }

  /** The task is gone. */
  async release(taskId: string): Promise<void> {
    await this.#unmountOwn(taskId);
    await this.#modules.volumes.release(taskId, "all");
    await this.#modules.secretFiles.release(taskId);
  }

  /** Tasks that have something here. */
  async tasks(): Promise<readonly string[]> {
    const { volumes, secretFiles } = this.#modules;
    const subpaths = await this.#subpathTasks();
    return [...new Set([...volumes.tasks(), ...(await secretFiles.tasks()), ...subpaths])];
  }

  /** Those of an earlier start of swarmd are good for the task's whole life: their objects never change. */
  async #writeFiles(task: Task, container: ContainerSpec, signal: AbortSignal): Promise<void> {
    if (container.secrets.length + container.configs.length === 0) return;
    const { secretFiles, fileObjects, log } = this.#modules;
    if (await secretFiles.has(task.id)) return;
    if (!fileObjects.told) {
      log.info("Waiting for a manager: a task's secrets are not on this host", { task: task.id });
    }
    const known = await fileObjects.get(signal);
    const values = templateValues(task, this.#options.node);
    await secretFiles.write(task.id, planFiles(container, known, values));
  }

  async #openVolume(
    taskId: string,
    mount: Mount,
    site: Site & { readonly index: number },
  ): Promise<string> {
    const { volumes, exec } = this.#modules;
    const { noCopy = false, subpath = "" } = mount.volumeOptions ?? {};
    const { name } = await volumes.claim(taskId, wishOf(mount));
    const scratch = join(site.taskFolder, "copy-up");
    const copy = { layers: site.layers, path: mount.target, scratch, signal: site.signal };
    // A part that somebody named must be there: the image has nothing to say about it.
    const wanted = noCopy || subpath !== "" ? undefined : copy;
    const root = await volumes.open(name, wanted);
    if (subpath === "") return root;
    const target = join(this.#options.subpathsFolder, taskId, `${site.index}`);
    await mountSubpath({ root, subpath, target }, exec);
    return target;
  }

  /** Where mounts are shared with the host, the container's root file system must not be. */
  async #setApart(taskId: string, taskFolder: string): Promise<void> {
    // By it `close` knows that there is something to unmount.
    await mkdir(join(this.#options.subpathsFolder, taskId), { recursive: true });
    const folder = await realpath(taskFolder);
    if ((await readMountPoints()).includes(folder)) return;
    await this.#modules.exec.run("mount", ["--bind", folder, folder]);
    await this.#modules.exec.run("mount", ["--make-private", folder]);
  }

  async #unmountOwn(taskId: string): Promise<void> {
    const folder = join(this.#options.subpathsFolder, taskId);
    if (!existsSync(folder)) return;
    for (const point of (await readMountPoints()).toReversed()) {
      if (!point.startsWith(`${folder}/`) && !point.endsWith(`/tasks/${taskId}`)) continue;
      await this.#modules.exec.run("umount", ["--", point]);
    }
    await rm(folder, { recursive: true, force: true });
  }

  async #subpathTasks(): Promise<readonly string[]> {
    try {
      return await readdir(this.#options.subpathsFolder);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return [];
      throw error;
    }
  }
}

function containerOf(task: Task): ContainerSpec {
  if (task.spec?.runtime.case === "container") return task.spec.runtime.value;
  throw new Fault("internal", "a task without a container has no mounts");
}

/** In the order in which `planFiles` has their content. */
function pathsOf({ secrets, configs }: ContainerSpec): readonly string[] {
  return [...secrets.map(secretFile), ...configs.map(configFile)].map(({ path }) => path);
}

function wishOf({ source, volumeOptions }: Mount): VolumeWish {
  const options = volumeOptions?.driverConfig?.options ?? {};
  return { name: source, options, labels: volumeOptions?.labels ?? {} };
}

async function findSource({ source, bindOptions }: Mount): Promise<void> {
  if (bindOptions?.createMountpoint === true) await mkdir(source, { recursive: true });
  try {
    await access(source, constants.F_OK);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    const message = `the bind source "${source}" does not exist on this node: create it, or let the mount create it (bind-create-src)`;
    throw new Fault("failed-precondition", message);
  }
}

/** A bind takes part in what its source's mount takes part in, and in nothing where that keeps to itself (Docker). */
async function checkPropagation({ source, bindOptions }: Mount): Promise<void> {
  const wanted = bindOptions?.propagation ?? MountPropagation.RPRIVATE;
  if (wanted === MountPropagation.RPRIVATE || wanted === MountPropagation.PRIVATE) return;
  const mount = mountOf(await realpath(source), await readMounts());
  const does = mount?.shared === true || (!isShared(wanted) && mount?.slave === true);
  if (does) return;
  const kind = isShared(wanted) ? "a shared" : "a shared or slave";
  const message = `the bind source "${source}" is on "${mount?.point ?? "/"}", which is not ${kind} mount: make it one (mount --make-shared), or leave the propagation out`;
  throw new Fault("failed-precondition", message);
}
