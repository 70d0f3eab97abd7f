/**
 * What happens to a host's tasks, drawn from a seed: they come, go, are stopped, die in every way, lose their supervisors;
 * and the engine is killed in between. Afterwards everything is taken away. The same seed draws the same events; real
 * processes take their own time.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { isConmonAlive, isContainerAlive } from "#agent/container/supervised-process.ts";
import { type Task, TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { ContainerSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { MountType, RestartCondition, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { newId } from "#proto/ids.ts";
import { systemClock, systemRandom } from "#proto/system-ports.ts";
import { durationFromMs } from "#proto/time.ts";
import type { SeededRandom } from "#sim/random.ts";
import { type LeakHost, overlay } from "./leak-host.ts";

const tasksMax = 12;
const pauseMsMax = 60;
/** Half of the events come when the one before had time to make something run. */
const runMsMax = 300;

const soon = durationFromMs(40);
const forever = "while :; do sleep 0.05; done";

/** Containers that live and end in all the ways that there are. */
const containers: Readonly<Record<string, MessageInitShape<typeof ContainerSpecSchema>>> = {
  sleeper: { stopSignal: "KILL" },
  polite: { args: ["sh", "-c", `trap 'exit 0' TERM; ${forever}`] },
  deaf: { args: ["sh", "-c", `trap '' TERM; ${forever}`] },
  forking: { args: ["sh", "-c", `setsid sleep 500 & (sleep 501 &); ${forever}`] },
  mounts: {
    mounts: [
      { type: MountType.VOLUME, target: "/data" },
      { type: MountType.TMPFS, target: "/scratch" },
    ],
    secrets: [{ secretId: "secret", secretName: "secret" }],
  },
  short: { args: ["sh", "-c", "exit 0"] },
  failing: { args: ["sh", "-c", "exit 1"] },
  starved: { args: ["tail", "/dev/zero"] },
  "no command": { args: ["nosuch"] },
  "no image": { image: "missing" },
  healthy: { healthcheck: { test: ["CMD", "true"], interval: soon } },
  ill: { healthcheck: { test: ["CMD", "false"], interval: soon, retries: 2 } },
  "hanging check": {
    healthcheck: {
      test: ["CMD-SHELL", "setsid sleep 502 & sleep 503"],
      interval: soon,
      timeout: durationFromMs(150),
      retries: 3,
    },
  },
};

const events = {
  create: 30,
  stop: 15,
  remove: 15,
  update: 10,
  "kill the container": 12,
  "kill its supervisor": 8,
  "freeze the container": 5,
  "kill the engine": 6,
  "tear a state file": 2,
} as const;
type Event = keyof typeof events;

export class Cycles {
  readonly #host: LeakHost;
  readonly #random: SeededRandom;
  readonly #tasks = new Map<string, Task>();
  #addresses = 2;
  /** How often each happened. */
  readonly counts = new Map<Event, number>();
  /** Which container each task was given. */
  readonly kinds = new Map<string, string>();

  constructor(host: LeakHost, random: SeededRandom) {
    this.#host = host;
    this.#random = random;
  }

  /** Resolves when everything happened and all tasks are gone. */
  async run(cycles: number): Promise<void> {
    for (let cycle = 0; cycle < cycles; cycle += 1) {
      const event = this.#draw();
      this.counts.set(event, (this.counts.get(event) ?? 0) + 1);
      await this.#perform(event);
      if (this.#random.int(2) === 0) await this.#host.untilRunning(runMsMax);
      await systemClock.sleep(this.#random.int(pauseMsMax));
    }
    this.#tasks.clear();
    this.#assign();
    await this.#host.untilIdle();
  }

  #draw(): Event {
    if (this.#tasks.size === 0) return "create";
    const names = Object.keys(events) as Event[];
    const weighted = names.flatMap((name) => Array.from({ length: events[name] }, () => name));
    const drawn = weighted[this.#random.int(weighted.length)] ?? "create";
    return drawn === "create" && this.#tasks.size >= tasksMax ? "remove" : drawn;
  }

  async #perform(event: Event): Promise<void> {
    const taskId = [...this.#tasks.keys()][this.#random.int(this.#tasks.size)] ?? "";
    switch (event) {
      case "create":
        return this.#create();
      case "stop":
        return this.#stop(taskId);
      case "remove":
        this.#tasks.delete(taskId);
        return this.#assign();
      case "update":
        this.#tasks.delete(taskId);
        return this.#create();
      case "kill the container":
        return this.#kill(taskId, "pid");
      case "kill its supervisor":
        return this.#kill(taskId, "conmon.pid");
      case "freeze the container":
        return this.#host.freeze(taskId);
      case "kill the engine":
        return this.#restart(() => {});
      case "tear a state file":
        return this.#restart(() => this.#tear(taskId));
    }
  }

  #create(): void {
    const names = Object.keys(containers);
    const kind = names[this.#random.int(names.length)] ?? "";
    const container = containers[kind] ?? {};
    const condition = this.#random.int(3) === 0 ? RestartCondition.NONE : RestartCondition.ANY;
    const attached = this.#random.int(2) === 0;
    const task = create(TaskSchema, {
      id: newId(systemRandom),
      desiredState: TaskState.RUNNING,
      spec: {
        runtime: {
          case: "container",
          value: {
            image: "busybox",
            stopGracePeriod: durationFromMs(100),
            stopDelay: durationFromMs(this.#random.int(100)),
            ...container,
          },
        },
        restart: { condition, delay: durationFromMs(this.#random.int(100)) },
        resources: { limits: { memoryBytes: 16_777_216n } },
      },
      networks: attached ? [{ network: overlay, addresses: [this.#address()] }] : [],
    });
    this.#tasks.set(task.id, task);
    this.kinds.set(task.id, kind);
    this.#assign();
  }

  #address(): string {
    const number = (this.#addresses += 1);
    return `10.77.${number >> 8}.${number & 255}/16`;
  }

  #stop(taskId: string): void {
    const task = this.#tasks.get(taskId);
    if (task === undefined) return;
    this.#tasks.set(taskId, { ...task, desiredState: TaskState.SHUTDOWN });
    this.#assign();
  }

  #kill(taskId: string, name: "pid" | "conmon.pid"): void {
    const isAlive = name === "pid" ? isContainerAlive : isConmonAlive;
    for (const pid of this.#host.pidsOf(taskId, name)) {
      if (isAlive(pid, taskId)) process.kill(pid, "SIGKILL");
    }
  }

  async #restart(whileDead: () => void): Promise<void> {
    await this.#host.killEngine();
    whileDead();
    await this.#host.startEngine();
    this.#host.assignAgain();
  }

  /** As a power loss may leave it. */
  #tear(taskId: string): void {
    const path = join(this.#host.tasksFolder, taskId, "state.json");
    try {
      writeFileSync(path, '{"phase":{"ki', { flag: "r+" });
    } catch {
      // The task has not come this far.
    }
  }

  #assign(): void {
    this.#host.assign([...this.#tasks.values()]);
  }
}
