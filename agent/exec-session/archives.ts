/** Tars out of containers and into them. Paths are the container's own, and lead where they lead its processes. */
import { posix } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type {
  ContainerService,
  ReadArchiveResponseSchema,
  WriteArchiveRequest,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Handlers } from "#proto/grpc.ts";
import type { Exec } from "../exec.ts";
import { runTool, type ToolModules, type ToolPlaces, type ToolRun } from "./container-tool.ts";
import {
  type ContainerPlaces,
  type RunningContainer,
  runningContainer,
} from "./running-container.ts";

type Response = MessageInitShape<typeof ReadArchiveResponseSchema>;

export interface ArchivesModules {
  readonly places: ContainerPlaces & ToolPlaces;
  readonly exec: Exec;
}

type Service = Handlers<typeof ContainerService>;

/** For the engine's API. */
export function archiveHandlers(
  modules: ArchivesModules,
): Pick<Service, "readArchive" | "writeArchive"> {
  return {
    readArchive: async function* ({ taskId, path, followLink }, { signal }) {
      const container = await runningContainer(taskId, modules.places);
      using scope = new ToolScope(signal);
      const within = { ...modules, signal: scope.signal };
      const wanted = followLink ? await resolved(container, path, within) : path;
      const { folder, name } = split(wanted);
      await requireThere(container, wanted, within);
      const run = await runTool(container, ["tar", "-c", "-f", "-", "-C", folder, name], within);
      run.child.stdin?.end();
      yield* dataOf(run);
      await succeeded(run, `Cannot read "${path}" of the container`);
    },
    writeArchive: async (requests, { signal }) => {
      const inputs = requests[Symbol.asyncIterator]();
      const first = await inputs.next();
      if (first.done === true || first.value.input.case !== "start") {
        throw new Fault("invalid-argument", "the first message does not name a task and a folder");
      }
      const { taskId, path, keepOwner } = first.value.input.value;
      const container = await runningContainer(taskId, modules.places);
      using scope = new ToolScope(signal);
      const within = { ...modules, signal: scope.signal };
      await requireFolder(container, path, within);
      const owner = keepOwner ? [] : ["-o"];
      const args = ["tar", "-x", "-f", "-", ...owner, "-C", absolute(path)];
      const run = await runTool(container, args, within);
      run.child.stdout?.resume();
      await feed(run, inputs);
      await succeeded(run, `Cannot write to "${path}" of the container`);
      return {};
    },
  };
}

/** Where tar begins, and what it takes from there. What ends in "/." is a folder's contents. */
function split(path: string): { readonly folder: string; readonly name: string } {
  const whole = absolute(path);
  if (/\/\.?$/.test(path) || whole === "/") return { folder: whole, name: "." };
  return { folder: posix.dirname(whole), name: `./${posix.basename(whole)}` };
}

function absolute(path: string): string {
  if (path === "" || path.includes("\0")) throw new Fault("invalid-argument", "the path is empty");
  return posix.resolve("/", path);
}

async function resolved(
  container: RunningContainer,
  path: string,
  modules: ToolModules,
): Promise<string> {
  const run = await runTool(container, ["readlink", "-f", absolute(path)], modules);
  run.child.stdin?.end();
  const pieces: Uint8Array[] = [];
  for await (const { data } of dataOf(run)) if (data !== undefined) pieces.push(data);
  const { exitCode } = await run.ended;
  const found = Buffer.concat(pieces).toString().replace(/\n$/, "");
  if (exitCode === 0 && found !== "") return found;
  throw missing(path);
}

/** A link that leads nowhere is there, too. */
async function requireThere(
  container: RunningContainer,
  path: string,
  modules: ToolModules,
): Promise<void> {
  if (await holds(container, ["-e", absolute(path)], modules)) return;
  if (await holds(container, ["-L", absolute(path)], modules)) return;
  throw missing(path);
}

async function requireFolder(
  container: RunningContainer,
  path: string,
  modules: ToolModules,
): Promise<void> {
  if (await holds(container, ["-d", absolute(path)], modules)) return;
  throw new Fault("not-found", `There is no folder "${path}" in the container`);
}

async function holds(
  container: RunningContainer,
  condition: readonly string[],
  modules: ToolModules,
): Promise<boolean> {
  const run = await runTool(container, ["test", ...condition], modules);
  run.child.stdin?.end();
  run.child.stdout?.resume();
  const { exitCode, said } = await run.ended;
  if (said === "") return exitCode === 0;
  throw new Fault("failed-precondition", `Cannot look into the container: ${said}`);
}

function missing(path: string): Fault {
  return new Fault("not-found", `There is no "${path}" in the container`);
}

async function* dataOf({ child }: ToolRun): AsyncGenerator<Response, void, undefined> {
  if (child.stdout === null) return;
  for await (const data of child.stdout as AsyncIterable<Buffer>) yield { data };
}

/** Fails where the caller goes before it has said all. */
async function feed(run: ToolRun, inputs: AsyncIterator<WriteArchiveRequest>): Promise<void> {
  const { stdin } = run.child;
  if (stdin === null) return;
  for await (const { input } of { [Symbol.asyncIterator]: () => inputs }) {
    if (input.case === "complete") {
      stdin.end();
      return;
    }
    if (input.case !== "data") continue;
    await new Promise<void>((resolve) => stdin.write(input.value, () => resolve()));
  }
  run.child.kill("SIGKILL");
  throw new Fault("canceled", "the caller went away before the tar was complete");
}

async function succeeded(run: ToolRun, action: string): Promise<void> {
  const { exitCode, said } = await run.ended;
  if (exitCode === 0) return;
  const words = said.replaceAll(/^(tar: )+/gm, "") || `tar ended with status ${exitCode}`;
  throw new Fault("failed-precondition", `${action}: ${words}`);
}

/** What runs in the container for a call ends with the call. */
class ToolScope implements Disposable {
  readonly #over = new AbortController();
  readonly signal: AbortSignal;

  constructor(ofCall: AbortSignal) {
    this.signal = AbortSignal.any([ofCall, this.#over.signal]);
  }

  [Symbol.dispose](): void {
    this.#over.abort();
  }
}
