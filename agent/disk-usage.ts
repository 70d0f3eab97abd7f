/** What of a node's disk images, containers, volumes and logs take, and what of it could be had back. */
import type { EngineService } from "#proto/gen/swarm/v1/engine_pb.ts";
import { Fault } from "#proto/fault.ts";
import type { Handlers } from "#proto/grpc.ts";
import type { Exec } from "./exec.ts";
import type { HeldLayer, ImageStore } from "./image/image-store.ts";
import { viewImages } from "./image/image-views.ts";
import { type ReadTaskUses, usesOf } from "./image/task-uses.ts";
import type { VolumeStore } from "./volume/volume-store.ts";

export interface DiskUsageModules {
  readonly images: ImageStore;
  readonly uses: ReadTaskUses;
  readonly volumes: VolumeStore;
  readonly exec: Exec;
}

interface Usage {
  readonly kind: string;
  readonly count: number;
  readonly active: number;
  readonly sizeBytes: bigint;
  readonly reclaimableBytes: bigint;
}

/** Counting goes through all files. */
const countTimeoutMs = 5 * 60_000;

const attemptsMax = 5;

/** In a task's folder: what its attempts wrote, and its log. */
const writtenPattern = "*/[0-9]*/upper";
const logPattern = "*/log*";

export function engineHandlers(
  tasksFolder: string,
  modules: DiskUsageModules,
): Pick<Handlers<typeof EngineService>, "getDiskUsage"> {
  return {
    getDiskUsage: async () => ({
      usages: await Promise.all([
        imageUsage(modules),
        taskUsage("containers", tasksFolder, writtenPattern, modules),
        volumeUsage(modules),
        taskUsage("logs", tasksFolder, logPattern, modules),
      ]),
    }),
  };
}

/** Layers that several images have count once. */
async function imageUsage({ images, uses }: DiskUsageModules): Promise<Usage> {
  const live = (await uses()).filter(({ isLive }) => isLive);
  const views = viewImages(images.list());
  const active = views.filter((view) => usesOf(view, live).length > 0);
  const sizeOf = (parts: readonly HeldLayer[]) => {
    const layers = new Map(parts.map(({ unpacked }) => [unpacked.name, unpacked.sizeBytes]));
    const blobs = new Map(parts.map(({ blob }) => [blob.digest, blob.sizeBytes]));
    return BigInt([...layers.values(), ...blobs.values()].reduce((sum, bytes) => sum + bytes, 0));
  };
  const sizeBytes = sizeOf(views.flatMap(({ held }) => held[0].parts));
  const usedBytes = sizeOf(active.flatMap(({ held }) => held[0].parts));
  return {
    kind: "images",
    count: views.length,
    active: active.length,
    sizeBytes,
    reclaimableBytes: sizeBytes - usedBytes,
  };
}

/** What ended tasks have goes with their history. */
async function taskUsage(
  kind: string,
  tasksFolder: string,
  pattern: string,
  { uses, exec }: DiskUsageModules,
): Promise<Usage> {
  const tasks = await uses();
  const ended = new Set(tasks.filter(({ isLive }) => !isLive).map(({ taskId }) => taskId));
  let sizeBytes = 0n;
  let reclaimableBytes = 0n;
  for (const [path, bytes] of await sizesOf(tasksFolder, pattern, exec)) {
    const taskId = path.slice(tasksFolder.length + 1).split("/")[0] ?? "";
    sizeBytes += bytes;
    if (ended.has(taskId)) reclaimableBytes += bytes;
  }
  return {
    kind,
    count: tasks.length,
    active: tasks.length - ended.size,
    sizeBytes,
    reclaimableBytes,
  };
}

/** Of the files and folders that match; what goes meanwhile makes du fail, and then it is asked again. */
async function sizesOf(
  folder: string,
  pattern: string,
  exec: Exec,
): Promise<ReadonlyMap<string, bigint>> {
  for (let attempts = 1; ; attempts += 1) {
    try {
      const { stdout: input } = await exec.run("find", [
        folder,
        "-ignore_readdir_race",
        "-mindepth",
        "2",
        "-path",
        `${folder}/${pattern}`,
        "-prune",
        "-print0",
      ]);
      if (input === "") return new Map();
      const args = ["-s", "-k", "-0", "--files0-from=-"];
      const { stdout } = await exec.run("du", args, { input, timeoutMs: countTimeoutMs });
      const lines = stdout.split("\0").filter((line) => line !== "");
      return new Map(
        lines.map((line) => {
          const [kilobytes = "0", path = ""] = line.split("\t");
          return [path, BigInt(kilobytes) * 1024n];
        }),
      );
    } catch (error) {
      if (attempts === attemptsMax) throw Fault.wrap(`Cannot count what is in "${folder}"`, error);
    }
  }
}

async function volumeUsage({ volumes }: DiskUsageModules): Promise<Usage> {
  const names = volumes.list().map(({ name }) => name);
  const unused = names.filter((name) => volumes.usersOf(name).length === 0);
  const sizes = await volumes.sizes(names);
  const sum = (of: readonly string[]) =>
    of.reduce((bytes, name) => bytes + BigInt(sizes.get(name) ?? 0), 0n);
  return {
    kind: "volumes",
    count: names.length,
    active: names.length - unused.length,
    sizeBytes: sum(names),
    reclaimableBytes: sum(unused),
  };
}
