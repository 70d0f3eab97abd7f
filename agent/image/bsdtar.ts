/**
 * Runs bsdtar: it makes files of every kind, with owners, attributes and exact times, which Node cannot. What it gets is
 * what tar-filter.ts lets through; without -P it refuses "..", absolute names and writing through links a second time.
 */
import { pipeline } from "node:stream/promises";
import { Fault, errnoOf } from "#proto/fault.ts";
import type { Clock } from "#proto/ports.ts";
import type { Exec } from "../exec.ts";
import { isDiskFull } from "./disk-full.ts";

export interface BsdtarModules {
  readonly clock: Clock;
  readonly exec: Exec;
}

/** A layer of many gigabytes on a slow disk. */
const timeoutMs = 30 * 60_000;

/** What is kept of bsdtar's complaints. */
const complaintBytesMax = 4096;

/**
 * -p: modes, owners and attributes as they are. File flags are not set, because an immutable file could not be removed
 * again.
 */
const unpackArguments = ["-x", "-p", "--numeric-owner", "--no-fflags", "-f", "-"];

/** -n: a folder alone, without what is in it. Names are on its input, each ended by a zero byte. */
const packArguments = ["-c", "-n", "--format=pax", "--numeric-owner", "--no-fflags", "-f", "-"];

/** How the end of a pipe's reader shows at its writer. */
const brokenPipeCodes: ReadonlySet<string> = new Set([
  "EPIPE",
  "ECONNRESET",
  "ERR_STREAM_PREMATURE_CLOSE",
  "ERR_STREAM_DESTROYED",
]);

/** In the C locale bsdtar refuses names that are not ASCII. */
const locale = { LC_ALL: "C.UTF-8" };

type ChildProcess = ReturnType<Exec["start"]>;

/** Unpacks the archive into the folder. */
export async function unpackInto(
  folder: string,
  archive: AsyncIterable<Buffer>,
  options: { readonly signal: AbortSignal },
  modules: BsdtarModules,
): Promise<void> {
  const { signal } = options;
  const child = start([...unpackArguments, "-C", folder], signal, modules);
  // Not spawn's own timeout: Node forgets to clear it when the program cannot be started.
  using _deadline = modules.clock.timer(timeoutMs, () => child.kill("SIGKILL"));
  const fault = (complaint: string) => {
    const code = isDiskFull(complaint) ? "resource-exhausted" : "failed-precondition";
    return new Fault(code, `cannot unpack the layer: ${complaint.split("\n", 3).join("; ")}`);
  };
  const [fed, ended] = await Promise.allSettled([feed(child, archive), endOf(child, fault)]);
  signal.throwIfAborted();
  // bsdtar that stops early breaks the pipe: then its own words are the cause. Otherwise the archive is.
  if (fed.status === "rejected" && !isBrokenPipe(fed.reason)) throw fed.reason;
  if (ended.status === "rejected") throw ended.reason;
  if (fed.status === "rejected") throw fed.reason;
}

/** An archive of these paths in the folder, byte strings, of folders without what is in them. */
export async function* packFrom(
  folder: string,
  paths: readonly string[],
  signal: AbortSignal,
  modules: BsdtarModules,
): AsyncGenerator<Buffer> {
  const child = start([...packArguments, "-C", folder, "--null", "-T", "-"], signal, modules);
  using _deadline = modules.clock.timer(timeoutMs, () => child.kill("SIGKILL"));
  const fault = (complaint: string) =>
    new Fault("internal", `cannot read the layers below: ${complaint}`);
  const ended = endOf(child, fault);
  // Whoever stops reading early has a cause of its own.
  ended.catch(() => {});
  child.stdin?.on("error", () => {});
  child.stdin?.end(Buffer.from(paths.map((path) => `./${path}\0`).join(""), "latin1"));
  try {
    if (child.stdout !== null) yield* child.stdout as AsyncIterable<Buffer>;
    await ended;
  } finally {
    child.kill("SIGKILL");
  }
}

function start(args: readonly string[], signal: AbortSignal, { exec }: BsdtarModules) {
  return exec.start("bsdtar", args, {
    stdio: ["pipe", args[0] === "-c" ? "pipe" : "ignore", "pipe"],
    signal,
    killSignal: "SIGKILL",
    env: { ...process.env, ...locale },
  });
}

async function feed(child: ChildProcess, archive: AsyncIterable<Buffer>): Promise<void> {
  if (child.stdin === null) throw new Fault("internal", "bsdtar has no input");
  await pipeline(archive, child.stdin);
}

function isBrokenPipe(thrown: unknown): boolean {
  return brokenPipeCodes.has(errnoOf(thrown) ?? "");
}

/** Resolves when bsdtar ended well. */
async function endOf(child: ChildProcess, faultOf: (complaint: string) => Fault): Promise<void> {
  let complaint = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    complaint = (complaint + text).slice(0, complaintBytesMax);
  });
  let failure: Fault | undefined;
  child.on("error", (error) => {
    const advice = errnoOf(error) === "ENOENT" ? "install libarchive-tools" : error.message;
    failure = new Fault("failed-precondition", `cannot run "bsdtar": ${advice}`, { cause: error });
  });
  // Also after an error or an abort: until now it may still have written.
  const { promise, resolve } = Promise.withResolvers<void>();
  child.once("close", () => resolve());
  await promise;
  if (failure !== undefined) throw failure;
  if (child.exitCode !== 0) {
    throw faultOf(complaint.trim() || `ended by ${child.signalCode ?? child.exitCode}`);
  }
}
