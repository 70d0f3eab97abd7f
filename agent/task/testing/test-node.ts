/** A node for tests: real runc, conmon and overlays; an image of one folder with busybox in it; bare namespaces. */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, symlinkSync } from "node:fs";
import { rm, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Task, TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { ContainerSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  RestartCondition,
  RestartPolicySchema,
  TaskState,
  type TaskStatus,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { Fault } from "#proto/fault.ts";
import { newId } from "#proto/ids.ts";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { durationFromMs } from "#proto/time.ts";
import { type Exec, systemExec } from "../../exec.ts";
import { Worker } from "../../worker.ts";
import type { ImageSource, TaskImage, TaskNetworks } from "../sources.ts";

const commands = [
  "sh",
  "sleep",
  "setsid",
  "true",
  "echo",
  "cat",
  "id",
  "env",
  "hostname",
  "pwd",
  "mount",
  "test",
];

/** How long anything that a test waits for may take. */
const waitMs = 15_000;

export type Condition = (status: TaskStatus) => boolean;

export class TestNode {
  readonly root = mkdtempSync(join(tmpdir(), "swarm-node-"));
  readonly cgroupParent = `swarm-test-${process.pid}-${newId(systemRandom).slice(0, 6)}`;
  /** Every status that was reported, in order. */
  readonly reports: { readonly taskId: string; readonly status: TaskStatus }[] = [];
  readonly #waiting = new Set<() => void>();
  readonly #namespaces = new Set<string>();
  #lastTurn: Promise<unknown> = Promise.resolve();
  image: TaskImage;
  /** That of the tasks' networks. */
  nameserver: string | undefined;
  /** Of each task that was attached, its own nameservers. */
  readonly ownNameservers = new Map<string, readonly string[]>();
  /** Whether containers take forever to be created. */
  hangsStarts = false;
  readonly #hanging: ReturnType<Exec["start"]>[] = [];
  /** Whether removing a container fails. */
  cannotRemove = false;
  /** Awaited before a container is removed. */
  removeGate: Promise<void> = Promise.resolve();
  #worker: Worker | undefined;

  constructor() {
    const layer = join(this.root, "agent", "image", "layers", "base");
    for (const folder of ["bin", "etc", "tmp", "root"]) {
      mkdirSync(join(layer, folder), { recursive: true });
    }
    cpSync("/bin/busybox", join(layer, "bin/busybox"));
    for (const command of commands) symlinkSync("busybox", join(layer, "bin", command));
    const config = {
      env: ["FROM_IMAGE=1"],
      entrypoint: [],
      cmd: ["sleep", "1000"],
      workingDir: "",
      user: "",
      stopSignal: "",
    };
    this.image = { config, layers: [layer] };
  }

  get worker(): Worker {
    if (this.#worker === undefined) throw new Error("the worker is not open");
    return this.#worker;
  }

  async open(): Promise<Worker> {
    this.#worker = await Worker.open(
      {
        stateRoot: join(this.root, "agent"),
        runRoot: join(this.root, "run"),
        cgroupParent: this.cgroupParent,
        runtime: "runc",
      },
      {
        images: this.#images(),
        network: this.#networks(),
        report: (taskId, status) => {
          this.reports.push({ taskId, status });
          for (const wake of this.#waiting) wake();
        },
        clock: systemClock,
        log: silentLog,
        exec: this.#exec(),
      },
    );
    return this.#worker;
  }

  /** Lets go of everything, as the death of the program would. */
  async close(): Promise<void> {
    await this.#worker?.[Symbol.asyncDispose]();
    this.#worker = undefined;
  }

  task(container: MessageInitShape<typeof ContainerSpecSchema>, restart = never): Task {
    const value = create(ContainerSpecSchema, { image: "busybox", ...container });
    return create(TaskSchema, {
      id: newId(systemRandom),
      desiredState: TaskState.RUNNING,
      spec: { runtime: { case: "container", value }, restart },
    });
  }

  /** Resolves with the first status of the task, past or to come, that is as wished. */
  async until(taskId: string, condition: Condition): Promise<TaskStatus> {
    const seen = () =>
      this.reports.find((report) => report.taskId === taskId && condition(report.status))?.status;
    await this.#wait(() => seen() !== undefined);
    const status = seen();
    if (status !== undefined) return status;
    const last = this.worker.statuses().get(taskId);
    throw new Error(
      `the task did not come this far: ${last?.state} "${last?.message}", error "${last?.err}"`,
    );
  }

  /** Takes the tasks away and resolves when nothing of them is left. */
  async removeAll(): Promise<void> {
    this.worker.assign([]);
    await this.worker.idle();
  }

  untilState(taskId: string, state: TaskState, attempt?: number): Promise<TaskStatus> {
    return this.until(
      taskId,
      (status) => status.state === state && (attempt === undefined || status.attempt === attempt),
    );
  }

  /** Folders of the node's cgroups, in all hierarchies. */
  cgroups(): string[] {
    const root = "/sys/fs/cgroup";
    const parents = [root, ...readdirSync(root).map((name) => join(root, name))];
    return parents
      .map((parent) => join(parent, this.cgroupParent))
      .filter((path) => existsSync(path));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cannotRemove = false;
    this.hangsStarts = false;
    for (const child of this.#hanging) child.kill("SIGKILL");
    if (this.#worker === undefined) await this.open();
    await this.removeAll();
    await this.close();
    for (const path of this.cgroups()) await rmdir(path);
    await rm(this.root, { recursive: true });
  }

  async #wait(condition: () => boolean): Promise<void> {
    const deadline = new AbortController();
    using _timer = systemClock.timer(waitMs, () => deadline.abort());
    while (!condition() && !deadline.signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      deadline.signal.addEventListener("abort", () => resolve(), { once: true });
      this.#waiting.add(resolve);
      await promise;
      this.#waiting.delete(resolve);
    }
  }

  #exec(): Exec {
    const run: Exec["run"] = async (command, args, options) => {
      if (args.includes("delete")) await this.removeGate;
      if (args.includes("delete") && this.cannotRemove) throw new Fault("internal", "device busy");
      return systemExec.run(command, args, options);
    };
    const start: Exec["start"] = (command, args, options) => {
      if (!this.hangsStarts) return systemExec.start(command, args, options);
      const child = systemExec.start("sleep", ["60"], options);
      this.#hanging.push(child);
      return child;
    };
    return { run, start };
  }

  #images(): ImageSource {
    return { pull: async () => this.image, find: () => this.image };
  }

  #networks(): TaskNetworks {
    return {
      attach: async (taskId, _attachments, { nameservers = [] } = {}) => {
        this.ownNameservers.set(taskId, nameservers);
        await this.#inTurn(async () => {
          if (!this.#namespaces.has(taskId)) await systemExec.run("ip", ["netns", "add", taskId]);
          this.#namespaces.add(taskId);
        });
        const { nameserver } = this;
        const path = `/run/netns/${taskId}`;
        return { path, addresses: [], ...(nameserver === undefined ? {} : { nameserver }) };
      },
      detach: (taskId) =>
        this.#inTurn(async () => {
          if (!this.#namespaces.has(taskId)) return;
          await systemExec.run("ip", ["netns", "del", taskId]);
          this.#namespaces.delete(taskId);
        }),
      list: () => this.#inTurn(async () => [...this.#namespaces]),
    };
  }

  /** A worker that was let go of may still be making a namespace: the next one's questions come after it. */
  #inTurn<Value>(work: () => Promise<Value>): Promise<Value> {
    const done = this.#lastTurn.then(work);
    this.#lastTurn = done.catch(() => undefined);
    return done;
  }
}

const never = create(RestartPolicySchema, { condition: RestartCondition.NONE });

export const always = create(RestartPolicySchema, {
  condition: RestartCondition.ANY,
  delay: durationFromMs(0),
});
