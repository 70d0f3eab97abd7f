/**
 * The containers of this node: one per task, named by the task's ID, a fresh root filesystem per attempt. Starts, signals,
 * inspects and removes them; decides nothing. Once started a container needs nobody here: its conmon supervises it.
 *
 * Folders: <tasks>/<taskId>/ holds the log and the generated files, <tasks>/<taskId>/<attempt>/ the bundle of an attempt.
 */
import { existsSync, mkdirSync } from "node:fs";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { Fault, errnoOf } from "#proto/fault.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Clock, Log } from "#proto/ports.ts";
import { hostResolvConf, readResolvConf } from "../dns/resolv-conf.ts";
import type { Exec } from "../exec.ts";
import { conmonLogFlags } from "../log/conmon-log.ts";
import { endOpenLines } from "../log/end-lines.ts";
import type { TaskNamespace } from "../network/network-driver.ts";
import { ContainerHost } from "./container-host.ts";
import type { HealthCheck } from "../health/health-check.ts";
import type { Probe } from "../health/health.ts";
import { runProbe } from "../health/probe.ts";
import {
  type CgroupPaths,
  readCgroupPaths,
  readCgroupsPath,
  readOomKills,
  removeCgroups,
  thaw,
} from "./cgroup.ts";
import { killConmon, startConmon } from "./conmon.ts";
import { Exits, type OnExit } from "./exits.ts";
import { findProgram } from "./find-program.ts";
import { readImageFile } from "./image-files.ts";
import { hostnameOf, type ImageDefaults, type OciSpec, planOciSpec } from "./oci-spec.ts";
import { completeTask } from "./complete-task.ts";
import type { MountPlaces } from "./mounts.ts";
import type { TaskMounts } from "./task-mounts.ts";
import { type NameSource, planHosts, planResolvConf } from "./name-files.ts";
import { linkLayers, overlayOptions, prepareRootfs } from "./rootfs.ts";
import { Runc } from "./runc.ts";
import { labelFiles, labelledMount } from "./selinux.ts";
import { isConmonAlive, isContainerAlive, readPid } from "./supervised-process.ts";
import { containerOf } from "./container-of.ts";

export interface ContainersOptions {
  readonly tasksFolder: string;
  readonly runRoot: string;
  readonly cgroupParent: string;
  /** Of what supervises containers; none: this program's own. */
  readonly supervisorCgroups?: readonly string[];
  readonly runtime: "runc";
}

export interface ContainersModules {
  readonly exec: Exec;
  readonly clock: Clock;
  readonly log: Log;
  readonly onExit: OnExit;
  readonly mounts: TaskMounts;
}

/** What a container is made from. */
export interface Ingredients {
  readonly image: { readonly config: ImageDefaults; readonly layers: readonly string[] };
  readonly namespace: TaskNamespace;
}

/** What is left of an attempt that somebody else started, or this program before it was restarted. */
export type ContainerRemains =
  | { readonly kind: "running"; readonly pid: number }
  | { readonly kind: "exited"; readonly exitCode: number; readonly oomKilled: boolean }
  | { readonly kind: "lost"; readonly reason: string };

export class Containers {
  readonly #options: ContainersOptions;
  readonly #modules: ContainersModules;
  readonly #runtime: string;
  readonly #runc: Runc;
  readonly #exits: Exits;
  readonly #host: ContainerHost;

  constructor(options: ContainersOptions, modules: ContainersModules) {
    // conmon runs in a folder of its own: no path may be relative to ours.
    this.#options = {
      ...options,
      tasksFolder: resolve(options.tasksFolder),
      runRoot: resolve(options.runRoot),
    };
    this.#modules = modules;
    mkdirSync(this.#options.tasksFolder, { recursive: true });
    this.#runtime = findProgram(options.runtime, "the container runtime", options.runtime);
    this.#runc = new Runc({ command: this.#runtime, root: this.#runtimeRoot }, modules);
    this.#exits = new Exits(join(this.#options.runRoot, "exits"), modules);
    this.#host = new ContainerHost(modules);
  }

  get #runtimeRoot(): string {
    return join(this.#options.runRoot, "runc");
  }

  folderOf(taskId: string): string {
    return join(this.#options.tasksFolder, taskId);
  }

  /** Of the container that runs. */
  cgroupsOf(taskId: string): CgroupPaths {
    return readCgroupPaths(this.#runtimeRoot, taskId);
  }

  /** Through which the conmon of an attempt is told things. */
  controlPipeOf(taskId: string, attempt: number): string {
    return join(this.#bundleOf(taskId, attempt), "ctl");
  }

  /** Refuses what cannot be started, before anything is started. Writes what all attempts share. */
  async prepare(given: Task, ingredients: Ingredients, signal: AbortSignal): Promise<void> {
    const task = completeTask(given, ingredients.image.config, this.#modules.mounts.node);
    const folder = this.folderOf(task.id);
    const { linux } = await this.#plan(task, ingredients, { attempt: 1 });
    await this.#modules.mounts.prepare(task, signal);
    await linkLayers(folder, ingredients.image.layers);
    const files = this.#filesOf(task.id);
    const { namespace } = ingredients;
    await Promise.all([
      writeFile(files.hosts, planHosts(task, namespace.addresses)),
      writeFile(files.hostname, `${hostnameOf(task)}\n`),
      writeFile(files.resolvConf, planResolvConf(task, await nameSource(namespace))),
    ]);
    const labelled = [...Object.values(files), ...this.#modules.mounts.filesOf(task)];
    await labelFiles(linux.mountLabel, labelled, this.#modules.exec);
  }

  /** Resolves with the process ID of the container's first process, running. */
  async start(
    given: Task,
    attempt: number,
    ingredients: Ingredients,
    signal: AbortSignal,
  ): Promise<number> {
    const { layers, config } = ingredients.image;
    const task = completeTask(given, config, this.#modules.mounts.node);
    const site = { taskFolder: this.folderOf(task.id), layers, signal };
    const places = await this.#modules.mounts.open(task, site);
    const spec = await this.#plan(task, ingredients, { attempt, places });
    const bundle = this.#bundleOf(task.id, attempt);
    await prepareRootfs(bundle);
    await writeFile(join(bundle, "config.json"), JSON.stringify(spec), { mode: 0o600 });
    if (attempt > 1) await endOpenLines(this.folderOf(task.id));
    const pid = await startConmon(
      {
        taskId: task.id,
        taskFolder: this.folderOf(task.id),
        attempt: `${attempt}`,
        sharesMounts: spec.linux.rootfsPropagation === "shared",
        overlay: labelledMount(
          overlayOptions(ingredients.image.layers.length, `${attempt}`),
          spec.linux.mountLabel,
        ),
        runtime: this.#runtime,
        runtimeRoot: this.#runtimeRoot,
        exitsFolder: this.#exits.folder,
        cgroups: this.#options.supervisorCgroups ?? [],
        logFlags: conmonLogFlags(task),
        terminal: spec.process.terminal,
        stdin: containerOf(task)?.openStdin ?? false,
      },
      this.#modules,
    );
    await this.#runc.start(task.id);
    return pid;
  }

  /** Runs the container's health check once. */
  probe(
    container: { readonly taskId: string; readonly attempt: number },
    check: HealthCheck,
    signal: AbortSignal,
  ): Promise<Probe> {
    const { taskId, attempt } = container;
    const options = {
      containerId: taskId,
      runtime: this.#runtime,
      runtimeRoot: this.#runtimeRoot,
      bundle: this.#bundleOf(taskId, attempt),
      check,
      signal,
    };
    return runProbe(options, this.#modules);
  }

  isAlive(taskId: string, pid: number): boolean {
    return isContainerAlive(pid, taskId);
  }

  /** Signals the container's first process, unless it is gone already. One that somebody froze has to get the signal. */
  kill(taskId: string, pid: number, signal: NodeJS.Signals | number): void {
    if (!isContainerAlive(pid, taskId)) return;
    try {
      thaw(readCgroupPaths(this.#runtimeRoot, taskId));
      process.kill(pid, signal);
    } catch (error) {
      // It ended in between.
      if (errnoOf(error) !== "ESRCH") throw error;
    }
  }

  /** What has become of an attempt. */
  inspect(taskId: string, attempt: number): ContainerRemains {
    const exited = this.#exitOf(taskId, attempt);
    if (exited !== undefined) return exited;
    const bundle = this.#bundleOf(taskId, attempt);
    const pid = readPid(join(bundle, "pid"));
    const conmon = readPid(join(bundle, "conmon.pid"));
    const supervised = conmon !== undefined && isConmonAlive(conmon, taskId);
    if (pid === undefined || existsSync(join(this.#runtimeRoot, taskId, "exec.fifo"))) {
      return { kind: "lost", reason: "the container was never started" };
    }
    // Its process may have ended: conmon is about to say how.
    if (supervised) return { kind: "running", pid };
    // conmon writes the exit code last: it may have done so and gone since the first look.
    const late = this.#exitOf(taskId, attempt);
    if (late !== undefined) return late;
    const reason = isContainerAlive(pid, taskId)
      ? "the container's supervisor, conmon, was killed"
      : "the container is gone: its host was restarted, or conmon was killed";
    return { kind: "lost", reason };
  }

  #exitOf(taskId: string, attempt: number): ContainerRemains | undefined {
    const exitCode = this.#exits.read(taskId);
    if (exitCode === undefined) return undefined;
    return { kind: "exited", exitCode, oomKilled: this.wasOomKilled(taskId, attempt) };
  }

  /**
   * The kernel's own count, which the container's cgroups keep until the attempt is released; of a runtime that does not
   * say where they are, what conmon saw.
   */
  wasOomKilled(taskId: string, attempt: number): boolean {
    const kills = readOomKills(readCgroupPaths(this.#runtimeRoot, taskId));
    if (kills !== undefined) return kills > 0;
    const bundle = this.#bundleOf(taskId, attempt);
    return existsSync(join(bundle, "oom")) || existsSync(join(this.folderOf(taskId), "oom"));
  }

  /** Ends and forgets the present attempt: process, runtime's state, cgroup, exit code. Afterwards it can be started anew. */
  async release(taskId: string): Promise<void> {
    if (this.#exits.read(taskId) === undefined) await this.#abandon(taskId);
    else await this.#runc.remove(taskId);
    for (const path of await this.#cgroupsOf(taskId)) {
      await removeCgroups(path, this.#modules.clock);
    }
    await this.#exits.forget(taskId);
    await rm(join(this.folderOf(taskId), "oom"), { force: true });
    await this.#modules.mounts.close(taskId);
  }

  /**
   * Ends an attempt of which no exit is known. A conmon that is still creating the container must not do so afterwards,
   * so it goes first; one that has created it goes last, because it reaps. Neither may write an exit code later, which
   * would be taken for that of the next attempt.
   */
  async #abandon(taskId: string): Promise<void> {
    const attempts = await this.#attemptFolders(taskId);
    for (const folder of attempts) {
      if (readPid(join(folder, "pid")) === undefined) killConmon(taskId, folder);
    }
    // Also where the runtime knows of none: it may have died at creating it, before it wrote its state.
    const begun = attempts.length > 0 || existsSync(join(this.#runtimeRoot, taskId));
    if (begun) await this.#runc.remove(taskId);
    for (const folder of attempts) killConmon(taskId, folder);
  }

  /** A runtime that was killed while it created the container has made cgroups and does not know of them. */
  async #cgroupsOf(taskId: string): Promise<ReadonlySet<string>> {
    const configs = await Promise.all(
      (await this.#attemptFolders(taskId)).map((folder) => readCgroupsPath(folder)),
    );
    const wanted = configs.filter((path) => path?.endsWith(`/${taskId}`) === true);
    return new Set([
      `/${this.#options.cgroupParent}/${taskId}`,
      ...wanted.flatMap((path) => path ?? []),
    ]);
  }

  /** Removes the files of all attempts but one; where none is kept, the task has no more use for its mounts either. */
  async removeAttempts(taskId: string, keep?: number): Promise<void> {
    if (keep === undefined) await this.#modules.mounts.release(taskId);
    const folders = await this.#attemptFolders(taskId);
    const old = folders.filter((folder) => basename(folder) !== `${keep}`);
    await Promise.all(old.map(removeFolder));
  }

  async #attemptFolders(taskId: string): Promise<readonly string[]> {
    const names = await readFolder(this.folderOf(taskId));
    return names
      .filter((name) => /^[0-9]+$/.test(name))
      .map((name) => join(this.folderOf(taskId), name));
  }

  /** Removes the task's folder with all that is in it. Its container is released already. */
  async remove(taskId: string): Promise<void> {
    await this.#modules.mounts.release(taskId);
    await removeFolder(this.folderOf(taskId));
  }

  /** Tasks that have a container, an exit code or a mount here, wanted or not. */
  async list(): Promise<readonly string[]> {
    const folders = [this.#runtimeRoot, this.#exits.folder];
    const names = await Promise.all([...folders.map(readFolder), this.#modules.mounts.tasks()]);
    return [...new Set(names.flat())];
  }

  [Symbol.dispose](): void {
    this.#exits[Symbol.dispose]();
  }

  async #plan(
    task: Task,
    ingredients: Ingredients,
    { attempt, places }: { readonly attempt: number; readonly places?: MountPlaces },
  ): Promise<OciSpec> {
    const { layers, config } = ingredients.image;
    const [passwd, group] = await Promise.all([
      readImageFile(layers, "/etc/passwd"),
      readImageFile(layers, "/etc/group"),
    ]);
    return planOciSpec({
      task,
      image: config,
      accounts: { passwd, group },
      files: this.#filesOf(task.id),
      ...(places !== undefined && { places }),
      rootfs: join(this.#bundleOf(task.id, attempt), "rootfs"),
      networkNamespace: ingredients.namespace.path,
      cgroupParent: this.#options.cgroupParent,
      host: await this.#host.factsFor(containerOf(task)),
    });
  }

  #bundleOf(taskId: string, attempt: number): string {
    return join(this.folderOf(taskId), `${attempt}`);
  }

  #filesOf(taskId: string) {
    const folder = this.folderOf(taskId);
    return {
      hosts: join(folder, "hosts"),
      hostname: join(folder, "hostname"),
      resolvConf: join(folder, "resolv.conf"),
    };
  }
}

/** Retried by Node while the overlay of a container that is just ending still writes into it. */
async function removeFolder(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
  } catch (error) {
    throw Fault.wrap(`Cannot remove "${path}"`, error);
  }
}

async function readFolder(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

async function nameSource({ path, nameserver }: TaskNamespace): Promise<NameSource> {
  if (path === undefined) return { hostFile: await readHostFile() };
  if (nameserver === undefined) return {};
  return { nameserver, search: (await readResolvConf()).search };
}

async function readHostFile(): Promise<string> {
  try {
    return await readFile(hostResolvConf, "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return "";
    throw Fault.wrap("Cannot read the host's resolv.conf", error);
  }
}
