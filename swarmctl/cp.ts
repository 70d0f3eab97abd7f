/** Files between this machine and a task's container, as tars that the system's own tar makes and unpacks here. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readdir, realpath, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import { ContainerService } from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Client } from "#proto/grpc.ts";
import type { Context } from "./context.ts";
import { runningTask } from "./running-task.ts";
import { TarNames } from "./tar-names.ts";

interface Options {
  readonly followLink?: boolean;
  readonly archive?: boolean;
}

/** A place in a task's container. */
interface Inside {
  readonly client: Client<typeof ContainerService>;
  readonly taskId: string;
  readonly path: string;
}

const stream = "-";

export function define(command: Command, context: Context): void {
  command
    .argument("<from>", 'TASK:PATH or a path of this machine; "-": a tar from stdin')
    .argument("<to>", 'likewise; "-": a tar to stdout')
    .option("-L, --follow-link", "copy what a link at the path leads to")
    .option("-a, --archive", "keep the owners")
    .option("-q, --quiet", "for Docker's users: nothing is said anyway")
    .action(async (from: string, to: string, options: Options) => {
      const [source, target] = [parsePlace(from), parsePlace(to)];
      if ((source.task === undefined) === (target.task === undefined)) {
        const message = "One of the two must be in a task, written as TASK:PATH";
        throw new Fault("invalid-argument", message);
      }
      if (source.task !== undefined) {
        const inside = await open(context, source.task, source.path);
        await copyOut(context, inside, target.path, options);
      } else if (target.task !== undefined) {
        const inside = await open(context, target.task, target.path);
        await copyIn(context, inside, source.path, options);
      }
    });
}

/** As Docker: what begins with "/" or "." is a path of this machine, also with a colon in it. */
export function parsePlace(text: string): {
  readonly task: string | undefined;
  readonly path: string;
} {
  const colon = text.indexOf(":");
  if (colon <= 0 || /^[./]/.test(text)) return { task: undefined, path: text };
  return { task: text.slice(0, colon), path: text.slice(colon + 1) || "/" };
}

async function open(context: Context, ref: string, path: string): Promise<Inside> {
  const task = await runningTask(context, ref);
  const client = await context.engine(ContainerService, task.nodeId);
  return { client, taskId: task.id, path };
}

async function copyOut(
  { io }: Context,
  inside: Inside,
  target: string,
  { followLink = false, archive = false }: Options,
): Promise<void> {
  const { client, taskId, path } = inside;
  const pieces = client.readArchive({ taskId, path, followLink }, { signal: io.signal });
  if (target === stream) {
    for await (const { data } of pieces) {
      await new Promise<void>((done) => io.stdout.write(data, () => done()));
    }
    return;
  }
  const owners = archive ? ["--same-owner"] : ["--no-same-owner"];
  const contents = /(^|\/)\.?$/.test(path);
  if (await isFolder(target)) return unpack(pieces, target, owners);
  if (contents || target.endsWith("/")) {
    throw new Fault("not-found", `There is no folder "${target}" here: make it first`);
  }
  // One entry at the top, which gets the name that is wanted when all is there.
  const parent = dirname(resolve(target));
  const folder = await mkdtemp(join(parent, ".swarmctl-cp-")).catch((thrown: unknown) => {
    throw Fault.wrap(`Cannot write to "${parent}"`, thrown);
  });
  try {
    await unpack(pieces, folder, owners);
    await rename(join(folder, await onlyName(folder)), target).catch((thrown: unknown) => {
      throw Fault.wrap(`Cannot write "${target}"`, thrown);
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function onlyName(folder: string): Promise<string> {
  const [name, ...more] = await readdir(folder);
  if (name !== undefined && more.length === 0) return name;
  throw new Fault("data-loss", "What the container sends is not the one file that was asked for");
}

async function unpack(
  pieces: AsyncIterable<{ readonly data: Uint8Array }>,
  folder: string,
  owners: readonly string[],
): Promise<void> {
  const child = startTar(["-x", "-f", "-", ...owners, "-C", folder]);
  const ended = endOf(child, `Cannot unpack into "${folder}"`);
  // It is waited for when all is sent.
  ended.catch(() => undefined);
  const names = new TarNames();
  try {
    for await (const { data } of pieces) {
      names.push(data);
      await new Promise<void>((done) => child.stdin?.write(data, () => done()));
    }
  } catch (thrown) {
    child.kill("SIGKILL");
    throw thrown;
  }
  child.stdin?.end();
  await ended;
}

async function copyIn(
  { io }: Context,
  inside: Inside,
  source: string,
  options: Options,
): Promise<void> {
  const { path } = inside;
  const send = (folder: string, pieces: AsyncIterable<Uint8Array>) => {
    const requests = requestsOf({ ...inside, path: folder }, pieces, options.archive ?? false);
    return inside.client.writeArchive(requests, { signal: io.signal });
  };
  if (source === stream) {
    await send(path, bytesOf(io.stdin));
    return;
  }
  const real = options.followLink === true ? await realpath(source).catch(missing(source)) : source;
  const contents = /(^|\/)\.$/.test(source);
  if (!contents) await stat(real).catch(missing(source));
  const name = basename(resolve(source));
  try {
    await send(path, pack(real, contents ? "." : name));
  } catch (thrown) {
    // There is no such folder: then it is the name that the copy shall have.
    if (Fault.from(thrown).code !== "not-found" || contents || path.endsWith("/")) throw thrown;
    const whole = resolve("/", path);
    await send(dirname(whole), pack(real, basename(whole)));
  }
}

function missing(path: string): (thrown: unknown) => never {
  return (thrown) => {
    throw Fault.wrap(`Cannot read "${path}"`, thrown);
  };
}

/** The tar of a file or folder, under another name. */
export async function* pack(path: string, name: string): AsyncIterable<Uint8Array> {
  const whole = resolve(path);
  const contents = name === ".";
  const own = basename(whole);
  // Names of links' targets stay as they are.
  const pattern = own.replaceAll(/[\\.*[\]^$]/g, "\\$&");
  const text = name.replaceAll(/[\\&]/g, "\\$&");
  const args = contents
    ? ["-c", "-f", "-", "-C", whole, "."]
    : ["-c", "-f", "-", `--transform=flags=rSh;s/^\\.\\/${pattern}/.\\/${text}/`];
  if (!contents) args.push("-C", dirname(whole), `./${own}`);
  const child = startTar(args);
  const ended = endOf(child, `Cannot read "${path}"`);
  // It is waited for when all was read.
  ended.catch(() => undefined);
  child.stdin?.end();
  let packed = false;
  try {
    if (child.stdout !== null) yield* child.stdout as AsyncIterable<Buffer>;
    packed = true;
  } finally {
    // One that has said all is about to end by itself.
    if (!packed) child.kill("SIGKILL");
  }
  await ended;
}

async function* requestsOf(
  { taskId, path }: Inside,
  pieces: AsyncIterable<Uint8Array>,
  keepOwner: boolean,
) {
  yield { input: { case: "start", value: { taskId, path, keepOwner } } } as const;
  for await (const value of pieces) yield { input: { case: "data", value } } as const;
  yield { input: { case: "complete", value: true } } as const;
}

async function* bytesOf(chunks: AsyncIterable<Uint8Array | string>): AsyncIterable<Uint8Array> {
  for await (const chunk of chunks) yield typeof chunk === "string" ? Buffer.from(chunk) : chunk;
}

function startTar(args: readonly string[]): ChildProcess {
  const child = spawn("tar", [...args], { stdio: ["pipe", "pipe", "pipe"] });
  // Its exit status says what is wrong.
  child.stdin.on("error", () => {});
  return child;
}

function endOf(child: ChildProcess, action: string): Promise<void> {
  let said = "";
  child.stderr?.on("data", (piece: Buffer) => {
    said = (said + piece.toString()).slice(0, 4096);
  });
  return new Promise((resolve, reject) => {
    child.once("error", (error) => reject(Fault.wrap('Cannot run "tar"', error)));
    child.once("close", (status) => {
      if (status === 0) resolve();
      else reject(new Fault("failed-precondition", `${action}: ${said.trim() || "tar failed"}`));
    });
  });
}

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
