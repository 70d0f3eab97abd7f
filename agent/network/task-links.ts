/**
 * Namespaces and links of this host's tasks: makes and removes them, many at a time, and knows which addresses are
 * attached here. Called by one lane only. A task's lines, those inside its namespace too, travel in one process of
 * `ip`, as the batch of one host: `netns exec` forks there, which is far cheaper than a process of Node's.
 */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Exec } from "#agent/exec.ts";
import { errnoOf, Fault } from "#proto/fault.ts";
import {
  factsOf,
  isVethOf,
  linkSysctls,
  type LinkHost,
  planAttach,
  planDetach,
  type Standing,
  type TaskLink,
  vethName,
} from "./attachment.ts";
import { type Kernel, readRulePriorities } from "./kernel-reader.ts";

export interface Arrival {
  readonly taskId: string;
  readonly links: readonly TaskLink[];
}

export interface Mended {
  /** Something of theirs was missing. */
  readonly taskIds: readonly string[];
  readonly refusals: readonly Fault[];
}

export interface TaskLinksModules {
  readonly exec: Exec;
  readonly readKernel: () => Promise<Kernel>;
}

export class TaskLinks {
  readonly #scratchRoot: string;
  readonly #exec: Exec;
  readonly #readKernel: () => Promise<Kernel>;
  readonly #namespaces = new Set<string>();
  /** Host side of a link → the task's addresses; none: half made in an earlier life. */
  readonly #veths = new Map<string, readonly string[]>();
  /** Tasks whose every line was performed in this life. */
  readonly #complete = new Set<string>();

  /** `scratchRoot` is an empty folder, for files that live as long as one command. */
  constructor(options: { readonly scratchRoot: string }, modules: TaskLinksModules) {
    this.#scratchRoot = options.scratchRoot;
    this.#exec = modules.exec;
    this.#readKernel = modules.readKernel;
  }

  /** Takes what the kernel says for true. */
  remember(kernel: Kernel): void {
    this.#veths.clear();
    for (const [veth, { addresses }] of kernel.veths) this.#veths.set(veth, addresses);
    this.#namespaces.clear();
    for (const taskId of kernel.namespaces) this.#namespaces.add(taskId);
    for (const taskId of this.#complete) {
      if (!this.#namespaces.has(taskId)) this.#complete.delete(taskId);
    }
  }

  tasks(): readonly string[] {
    return [...this.#namespaces];
  }

  /** The addresses that are attached here, of one task or of all. */
  addresses(taskId?: string): readonly string[] {
    const entries = [...this.#veths].filter(
      ([veth]) => taskId === undefined || isVethOf(taskId, veth),
    );
    return entries.flatMap(([, addresses]) => addresses);
  }

  /** Host sides of links → the task's addresses. */
  get veths(): ReadonlyMap<string, readonly string[]> {
    return this.#veths;
  }

  /** All or nothing: what is new is gone again after a failure. What stood before is left as it is. */
  async attach(arrivals: readonly Arrival[], host: LinkHost): Promise<void> {
    const waiting = arrivals.filter(({ taskId }) => !this.#complete.has(taskId));
    if (waiting.length === 0) return;
    const fresh = waiting
      .map(({ taskId }) => taskId)
      .filter((taskId) => !this.#namespaces.has(taskId));
    await using undo = new AsyncDisposableStack();
    undo.defer(() => this.#abandon(fresh));
    await this.#perform(waiting, host);
    undo.move();
  }

  /**
   * Puts back what is missing of the links of tasks that have their namespace, by what `remember` was told. Where a task
   * stands in its own way, which some have the right to, the others are mended all the same.
   */
  async mend(arrivals: readonly Arrival[], kernel: Kernel, host: LinkHost): Promise<Mended> {
    const broken = arrivals.filter(({ taskId, links }) =>
      links.some((link, index) => {
        const facts = kernel.veths.get(vethName(taskId, index))?.facts;
        return (
          this.#namespaces.has(taskId) && !factsOf(link, host).every((fact) => facts?.has(fact))
        );
      }),
    );
    if (broken.length === 0) return { taskIds: [], refusals: [] };
    try {
      await this.#perform(broken, host);
      return { taskIds: broken.map(({ taskId }) => taskId), refusals: [] };
    } catch {
      return await this.#mendEach(broken, host);
    }
  }

  async #mendEach(broken: readonly Arrival[], host: LinkHost): Promise<Mended> {
    const taskIds: string[] = [];
    const refusals: Fault[] = [];
    for (const arrival of broken) {
      try {
        await this.#perform([arrival], host);
        taskIds.push(arrival.taskId);
      } catch (error) {
        refusals.push(Fault.wrap(`Cannot mend the links of task "${arrival.taskId}"`, error));
      }
    }
    return { taskIds, refusals };
  }

  async detach(taskIds: readonly string[]): Promise<void> {
    try {
      await this.#attemptDetach(taskIds);
    } catch {
      // A link or namespace may be gone without us: the second attempt starts from what is there.
      this.remember(await this.#readKernel());
      await this.#attemptDetach(taskIds);
    }
  }

  /** Removes links without a namespace: a detach that did not come to its end. */
  async removeOrphans(): Promise<void> {
    const orphans = [...this.#veths.keys()].filter(
      (veth) => !this.tasks().some((taskId) => isVethOf(taskId, veth)),
    );
    if (orphans.length === 0) return;
    await this.#exec.run("ip", ["-batch", "-"], { input: batch(planDetach([], orphans)) });
    for (const veth of orphans) this.#veths.delete(veth);
  }

  async #perform(arrivals: readonly Arrival[], host: LinkHost): Promise<void> {
    await using files = new AsyncDisposableStack();
    const lines: string[] = [];
    for (const arrival of arrivals) lines.push(...(await this.#linesOf(arrival, host, files)));
    await this.#exec.run("ip", ["-batch", "-"], { input: batch(lines) });
    for (const arrival of arrivals) {
      await setSysctls(arrival);
      this.#onAttached(arrival);
    }
  }

  async #linesOf(
    { taskId, links }: Arrival,
    host: LinkHost,
    files: AsyncDisposableStack,
  ): Promise<readonly string[]> {
    const standing = await this.#standing(taskId, links);
    const plan = planAttach({ taskId, links, standing, ...host });
    const inside = async (flags: string, lines: readonly string[]) => {
      if (lines.length === 0) return [];
      const file = join(this.#scratchRoot, `${taskId}${flags.trim()}`);
      files.defer(() => rm(file, { force: true }));
      await writeFile(file, batch(lines));
      return [`netns exec ${taskId} ip${flags} -batch ${file}`];
    };
    return [
      ...plan.host,
      ...(await inside("", plan.inside)),
      ...(await inside(" -6", plan.inside6)),
    ];
  }

  async #standing(taskId: string, links: readonly TaskLink[]): Promise<Standing> {
    const namespace = this.#namespaces.has(taskId);
    const veths = new Set([...this.#veths.keys()].filter((veth) => isVethOf(taskId, veth)));
    const mayHaveRules = namespace && links.length > 1;
    const rulePriorities = mayHaveRules
      ? await readRulePriorities(this.#exec, taskId)
      : new Set<string>();
    return { namespace, veths, rulePriorities };
  }

  #onAttached({ taskId, links }: Arrival): void {
    this.#namespaces.add(taskId);
    this.#complete.add(taskId);
    for (const [index, { addresses }] of links.entries()) {
      this.#veths.set(vethName(taskId, index), addresses);
    }
  }

  async #abandon(taskIds: readonly string[]): Promise<void> {
    this.remember(await this.#readKernel());
    await this.#attemptDetach(taskIds);
  }

  async #attemptDetach(taskIds: readonly string[]): Promise<void> {
    const namespaces = taskIds.filter((taskId) => this.#namespaces.has(taskId));
    const veths = [...this.#veths.keys()].filter((veth) =>
      taskIds.some((taskId) => isVethOf(taskId, veth)),
    );
    const lines = planDetach(namespaces, veths);
    if (lines.length > 0) await this.#exec.run("ip", ["-batch", "-"], { input: batch(lines) });
    for (const veth of veths) this.#veths.delete(veth);
    for (const taskId of namespaces) {
      this.#namespaces.delete(taskId);
      this.#complete.delete(taskId);
    }
  }
}

async function setSysctls({ taskId, links }: Arrival): Promise<void> {
  for (const index of links.keys()) {
    const folder = `/proc/sys/net/ipv4/conf/${vethName(taskId, index)}`;
    try {
      for (const name of linkSysctls) await writeFile(join(folder, name), "1");
    } catch (error) {
      // The link is gone again: whoever did that ends the task.
      if (errnoOf(error) !== "ENOENT") throw error;
    }
  }
}

function batch(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}
