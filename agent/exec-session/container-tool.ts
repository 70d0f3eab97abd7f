/**
 * Runs a program of the host's busybox inside a container, as its root: with its namespaces, capabilities, seccomp filter
 * and cgroup, so that a hostile container can make it do nothing that its own processes could not do. The image need not
 * have any program.
 *
 * What runs is a copy for this one run, opened outside and passed as a descriptor: the container could write to what it
 * executes. busybox knows by its name which program it is, so a link in the container's /dev leads to the descriptor.
 */
import { randomBytes } from "node:crypto";
import { constants, mkdirSync, type OpenMode, rmSync } from "node:fs";
import { copyFile, mkdtemp, open, rm, symlink, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "#proto/fault.ts";
import { findProgram } from "../container/find-program.ts";
import type { Exec } from "../exec.ts";
import { exitCodeOf } from "./process-group.ts";
import { containerProcess, type RunningContainer } from "./running-container.ts";

export interface ToolPlaces {
  readonly runtime: string;
  readonly runtimeRoot: string;
  /** On a file system from which programs can be run. */
  readonly toolFolder: string;
}

export interface ToolRun {
  readonly child: ReturnType<Exec["start"]>;
  /** With what it said, where it failed. */
  readonly ended: Promise<{ readonly exitCode: number; readonly said: string }>;
}

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;

/** What a program complains of is a line or two. */
const saidMax = 4096;

/** The first descriptor that runc passes on. */
const toolFd = 3;

export interface ToolModules {
  readonly places: ToolPlaces;
  readonly exec: Exec;
  /** Ends it: a hostile container can stop what runs in it, for ever. */
  readonly signal: AbortSignal;
}

/** Makes the folder, without what an earlier run of this program has left there. */
export function clearTools(toolFolder: string): void {
  rmSync(toolFolder, { recursive: true, force: true });
  mkdirSync(toolFolder, { recursive: true, mode: 0o700 });
}

/** `args`: the program's name first. */
export async function runTool(
  container: RunningContainer,
  args: readonly string[],
  { places, exec, signal }: ToolModules,
): Promise<ToolRun> {
  await using held = new AsyncDisposableStack();
  const folder = await mkdtemp(join(places.toolFolder, "tool-"));
  held.defer(() => rm(folder, { recursive: true, force: true }));
  const copy = join(folder, "busybox");
  await copyFile(findProgram("busybox", "the program", "busybox-static"), copy);
  const tool = held.use(await open(copy, O_RDONLY));
  const link = await linkInside(container, held);
  const spec = {
    ...(await containerProcess(container)),
    terminal: false,
    args: [link, ...args],
    user: { uid: 0, gid: 0 },
    cwd: "/",
    env: [],
  };
  const specFile = join(folder, "process.json");
  await writeFile(specFile, JSON.stringify(spec), { mode: 0o600 });
  const passed = ["--preserve-fds", "1", "--process", specFile, container.taskId];
  const command = ["--root", places.runtimeRoot, "exec", ...passed];
  const child = exec.start(places.runtime, command, { stdio: ["pipe", "pipe", "pipe", tool.fd] });
  const end = () => void child.kill("SIGKILL");
  signal.addEventListener("abort", end, { once: true });
  held.defer(() => signal.removeEventListener("abort", end));
  if (signal.aborted) end();
  const scope = held.move();
  let said = "";
  child.stderr?.on("data", (piece: Buffer) => {
    said = (said + piece.toString()).slice(0, saidMax);
  });
  child.stdin?.on("error", () => {});
  const ending = async () => {
    await using _scope = scope;
    const exitCode = await exitCodeOf(child);
    return { exitCode, said: said.trim() };
  };
  const ended = ending();
  ended.catch(() => undefined);
  return { child, ended };
}

/** A name in the container that leads to the descriptor. No link of the container is followed to make it. */
async function linkInside(
  { pid, taskId }: RunningContainer,
  held: AsyncDisposableStack,
): Promise<string> {
  const mode: OpenMode = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
  const dev = await open(`/proc/${pid}/root/dev`, mode).catch((thrown: unknown) => {
    throw Fault.wrap(`Cannot work in the container of task "${taskId}"`, thrown);
  });
  held.use(dev);
  const name = `busybox-${randomBytes(8).toString("hex")}`;
  const path = `/proc/self/fd/${dev.fd}/${name}`;
  await symlink(`/proc/self/fd/${toolFd}`, path);
  // With the container it goes, too.
  held.defer(() => unlink(path).catch(() => undefined));
  return `/dev/${name}`;
}
