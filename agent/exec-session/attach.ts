/**
 * A container's own streams: what it prints from now on, as conmon writes it to the task's log, so that who reads slowly
 * never holds the container up; and what is typed to it, by the socket at which conmon waits for that.
 */
import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readFileSync,
  watch,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { LogStream } from "#proto/gen/swarm/v1/control_pb.ts";
import type {
  AttachRequest,
  AttachResponseSchema,
  AttachStart,
  ContainerService,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Handlers } from "#proto/grpc.ts";
import type { Clock } from "#proto/ports.ts";
import { parseSignal } from "#proto/stop-signal.ts";
import { isContainerAlive } from "../container/supervised-process.ts";
import type { Exec } from "../exec.ts";
import type { LogLine } from "../log/k8s-file.ts";
import { LogCursor } from "../log/log-cursor.ts";
import {
  type ContainerPlaces,
  type RunningContainer,
  runningContainer,
} from "./running-container.ts";

export interface AttachModules {
  readonly places: ContainerPlaces & {
    /** Where conmon writes exit codes. */
    readonly exitsFolder: string;
  };
  readonly exec: Exec;
  readonly clock: Clock;
}

/** conmon says how a container ended as soon as it has read all that was printed; one that was killed never does. */
const lastWordsMs = 2_000;

type Response = MessageInitShape<typeof AttachResponseSchema>;

/** conmon's message for a new size of the terminal. */
const resizeMessage = 1;

/** For the engine's API. */
export function attachHandler(modules: AttachModules): Handlers<typeof ContainerService>["attach"] {
  const { places, exec } = modules;
  return async function* (requests, { signal }): AsyncGenerator<Response, void, undefined> {
    const inputs = requests[Symbol.asyncIterator]();
    const first = await inputs.next();
    if (first.done === true || first.value.input.case !== "start") {
      throw new Fault("invalid-argument", "the first message does not name a task");
    }
    const start = first.value.input.value;
    const container = await runningContainer(start.taskId, places);
    using held = new DisposableStack();
    const feed = feeder(container, start, { exec, held });
    const over = new AbortController();
    held.defer(() => over.abort());
    const feeding = async () => {
      for await (const { input } of { [Symbol.asyncIterator]: () => inputs }) await feed(input);
    };
    // How the caller's side ends is told by the signal.
    feeding().catch(() => undefined);
    yield* outputOf(container, modules, AbortSignal.any([signal, over.signal]));
  };
}

async function* outputOf(
  { taskId, pid, bundle }: RunningContainer,
  { places: { exitsFolder }, clock }: AttachModules,
  signal: AbortSignal,
): AsyncGenerator<Response, void, undefined> {
  const folder = dirname(bundle);
  if (!existsSync(join(folder, "log"))) {
    const message = 'The task\'s log driver is "none": there is no output to attach to';
    throw new Fault("failed-precondition", message);
  }
  using cursor = new LogCursor(folder);
  let wake = Promise.withResolvers<void>();
  const onNews = () => wake.resolve();
  let exitCode: number | undefined;
  const onExit = () => {
    exitCode ??= exitCodeIn(join(exitsFolder, taskId));
    onNews();
  };
  watch(folder, { signal }, onNews).on("error", onNews);
  watch(exitsFolder, { signal }, onExit).on("error", onNews);
  signal.addEventListener("abort", onNews, { once: true });
  await cursor.seekTail(0);
  let isLate = false;
  using waits = new DisposableStack();
  let isWaiting = false;
  while (!signal.aborted) {
    wake = Promise.withResolvers();
    // Asked before reading, so that nothing which was printed before the end is missed.
    const isLast = exitCode !== undefined || isLate;
    if (!isWaiting && !isContainerAlive(pid, taskId)) {
      isWaiting = true;
      const onLate = () => {
        isLate = true;
        onNews();
      };
      waits.use(clock.timer(lastWordsMs, onLate));
      onExit();
    }
    for await (const { lines } of cursor.read()) yield* lines.map(responseOf);
    // A prompt has no end of line.
    yield* cursor.flush().map(responseOf);
    if (isLast) break;
    await wake.promise;
  }
  if (exitCode !== undefined) yield { output: { case: "exitCode", value: exitCode } };
}

function responseOf({ stream, data, partial }: LogLine): Response {
  const value = partial ? data : Buffer.concat([data, Buffer.from("\n")]);
  return { output: { case: stream === LogStream.STDERR ? "stderr" : "stdout", value } };
}

function exitCodeIn(path: string): number | undefined {
  try {
    const text = readFileSync(path, "utf8").trim();
    return /^[0-9]{1,3}$/.test(text) ? Number(text) : undefined;
  } catch {
    return undefined;
  }
}

/** Carries out one thing that the caller sends. */
function feeder(
  { pid, taskId, bundle }: RunningContainer,
  { openStdin, size }: AttachStart,
  { exec, held }: { readonly exec: Exec; readonly held: DisposableStack },
): (input: AttachRequest["input"]) => Promise<void> {
  const child = openStdin
    ? exec.start("socat", ["-", "UNIX-CONNECT:attach,type=5"], {
        cwd: bundle,
        // What conmon sends is in the log as well.
        stdio: ["pipe", "ignore", "ignore"],
      })
    : undefined;
  child?.stdin?.on("error", () => {});
  child?.on("error", () => {});
  held.defer(() => void child?.kill("SIGKILL"));
  const resize = (to: { readonly rows: number; readonly columns: number }) =>
    tell(join(bundle, "ctl"), `${resizeMessage} ${to.rows} ${to.columns}\n`);
  if (size !== undefined) resize(size);
  return async (input) => {
    if (input.case === "resize") resize(input.value);
    else if (input.case === "signal" && isContainerAlive(pid, taskId)) {
      process.kill(pid, parseSignal(input.value));
    } else if (input.case === "stdin") {
      const { value } = input;
      await new Promise<void>((resolve) => {
        if (child?.stdin?.writable === true) child.stdin.write(value, () => resolve());
        else resolve();
      });
    }
  };
}

/** Into conmon's fifo, which it reads as long as it lives. */
function tell(fifo: string, message: string): void {
  try {
    const handle = openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK);
    writeSync(handle, message);
    closeSync(handle);
  } catch (thrown) {
    throw Fault.wrap(`Cannot tell the container's supervisor by "${basename(fifo)}"`, thrown);
  }
}
