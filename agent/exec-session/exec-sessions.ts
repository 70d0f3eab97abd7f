/**
 * The commands that are run in containers for callers elsewhere. They live as long as their callers, unless those leave
 * them behind on purpose; what an earlier run of this program has not ended is ended when it starts again.
 */
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type {
  ContainerService,
  ExecRequest,
  ExecResponseSchema,
  ExecStart,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import type { CallContext, Handlers } from "#proto/grpc.ts";
import { idLength } from "#proto/ids.ts";
import type { Clock } from "#proto/ports.ts";
import { parseSignal } from "#proto/stop-signal.ts";
import { findProgram } from "../container/find-program.ts";
import { readHostLimits } from "../container/host-limits.ts";
import { readPid } from "../container/supervised-process.ts";
import type { Exec } from "../exec.ts";
import { readAccounts } from "./account-files.ts";
import type { Output } from "./child-output.ts";
import { ExecSession, pidFile } from "./exec-session.ts";
import { killGroup } from "./process-group.ts";
import { planProcess } from "./process-spec.ts";
import { type ContainerPlaces, containerProcess, runningContainer } from "./running-container.ts";

export interface ExecSessionsOptions extends ContainerPlaces {
  /** A folder for each session. */
  readonly folder: string;
  readonly runtime: "runc";
}

export interface ExecSessionsModules {
  readonly exec: Exec;
  readonly clock: Clock;
}

type Response = MessageInitShape<typeof ExecResponseSchema>;
type ExecHandler = Handlers<typeof ContainerService>["exec"];

/** The last words of what is ending may still be written there. */
const removal = { recursive: true, force: true, maxRetries: 5, retryDelay: 20 } as const;

export class ExecSessions implements AsyncDisposable {
  readonly #options: ExecSessionsOptions;
  readonly #modules: ExecSessionsModules;
  readonly #capabilities: readonly string[];
  /** With when all is over. */
  readonly #live = new Map<ExecSession, Promise<void>>();

  constructor(options: ExecSessionsOptions, modules: ExecSessionsModules) {
    const runtime = findProgram(options.runtime, "the container runtime", options.runtime);
    this.#options = { ...options, runtime: runtime as "runc" };
    this.#modules = modules;
    this.#capabilities = readHostLimits().capabilities.map((name) => `CAP_${name}`);
    endOld(options.folder);
  }

  /** Ends all sessions. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#live.keys()) session.kill();
    await Promise.all(this.#live.values());
  }

  /** For the engine's API. */
  readonly exec: ExecHandler = (requests, context) => this.#serve(requests, context);

  async *#serve(
    requests: AsyncIterable<ExecRequest>,
    { signal }: CallContext,
  ): AsyncGenerator<Response, void, undefined> {
    const inputs = requests[Symbol.asyncIterator]();
    const first = await inputs.next();
    if (first.done === true || first.value.input.case !== "start") {
      throw new Fault("invalid-argument", "the first message does not say what to run");
    }
    const { session, ended } = await this.#start(first.value.input.value);
    const left = Promise.withResolvers<undefined>();
    const vanish = () => session.kill();
    signal.addEventListener("abort", vanish, { once: true });
    if (signal.aborted) vanish();
    const leave = () => {
      signal.removeEventListener("abort", vanish);
      left.resolve(undefined);
    };
    // How the caller's side ends is told by the signal.
    feed(session, inputs, leave).catch(() => undefined);
    const outputs = session.run();
    let wasLeft = false;
    try {
      for (;;) {
        const next = await Promise.race([outputs.next(), left.promise]);
        wasLeft = next === undefined;
        if (next === undefined || next.done === true) return;
        yield responseOf(next.value);
      }
    } finally {
      signal.removeEventListener("abort", vanish);
      if (wasLeft) void drain(outputs).then(ended, ended);
      else {
        session.kill();
        ended();
      }
    }
  }

  async #start(start: ExecStart): Promise<{ session: ExecSession; ended: () => void }> {
    const container = await runningContainer(start.taskId, this.#options);
    const process = planProcess(start, {
      container: await containerProcess(container),
      accounts: await readAccounts(container.pid),
      capabilities: this.#capabilities,
    });
    const { taskId } = container;
    const folder = await mkdtemp(join(this.#options.folder, `${taskId}-`));
    const { openStdin, size } = start;
    const { runtime, runtimeRoot } = this.#options;
    const session = await ExecSession.start(
      { folder, taskId, process, openStdin, size, runtime, runtimeRoot },
      this.#modules,
    );
    const over = Promise.withResolvers<void>();
    const cleared = over.promise
      .then(() => session.over())
      // What cannot be removed now is, when this program starts again.
      .then(() => rm(folder, removal).catch(() => undefined))
      .finally(() => this.#live.delete(session));
    this.#live.set(session, cleared);
    return { session, ended: over.resolve };
  }
}

/** Carries out what the caller sends, in its order. */
async function feed(
  session: ExecSession,
  inputs: AsyncIterator<ExecRequest>,
  leave: () => void,
): Promise<void> {
  for await (const { input } of { [Symbol.asyncIterator]: () => inputs }) {
    switch (input.case) {
      case "stdin":
        await session.write(input.value);
        break;
      case "stdinClosed":
        session.closeStdin();
        break;
      case "resize":
        await session.resize(input.value);
        break;
      case "signal":
        session.signal(parseSignal(input.value));
        break;
      case "detach":
        leave();
        return;
      case "start":
      case undefined:
        break;
    }
  }
}

function responseOf(output: Output | number): Response {
  if (typeof output === "number") return { output: { case: "exitCode", value: output } };
  return { output: { case: output.from, value: output.data } };
}

async function drain(outputs: AsyncIterable<unknown>): Promise<void> {
  for await (const _output of outputs);
}

/** Ends what another run of this program has left. */
function endOld(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(folder)) {
    const pid = readPid(join(folder, name, pidFile));
    if (pid !== undefined) killGroup(pid, name.slice(0, idLength));
    rmSync(join(folder, name), removal);
  }
}
