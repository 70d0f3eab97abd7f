/**
 * Waits until all services of a stack are what their specs say: side by side, with one line each. Who depends on others is
 * looked at when these have converged, and not waited for when one of them has failed.
 */
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Context, ControlClient } from "../context.ts";
import { forEachRef } from "../for-each-ref.ts";
import type { Io } from "../io.ts";
import { liveLines } from "../output/live-lines.ts";
import { type ConvergeOptions, converge, withJobTimeout } from "../service/converge.ts";
import { firstError } from "../service/progress.ts";
import { overallLine, type ProgressPrinter } from "../service/progress-lines.ts";
import { serviceName } from "../service/words.ts";

export interface StackWait {
  readonly control: ControlClient;
  readonly command: Command;
  /** The time is that of all together. */
  readonly options: Pick<ConvergeOptions, "quiet" | "timeout">;
}

/** Each service stands after those that it depends on. Every one that fails is named. */
export async function convergeStack(
  context: Context,
  services: readonly Service[],
  { control, command, options }: StackWait,
): Promise<void> {
  const { clock, signal } = context.io;
  const { timeout, quiet } = options;
  const deadline = clock.monotonic() + timeout;
  const board = new Board(context.io, services.map(serviceName));
  const waits = new Map<string, Promise<void>>();
  const waitFor = async (service: Service, name: string) => {
    await dependencies(service, waits);
    const left = timeout === 0 ? 0 : Math.max(1, roundUp(deadline - clock.monotonic()));
    const wait = { timeout: left, printer: board.printer(name), ...(quiet && { quiet }) };
    await converge(context, control, service, withJobTimeout(command, service, wait));
  };
  for (const service of services) {
    const name = serviceName(service);
    waits.set(name, waitFor(service, name));
  }
  await Promise.allSettled(waits.values());
  if (signal.aborted) {
    context.io.stderr.write('Operation continuing in background: see "swarmctl stack ps"\n');
    signal.throwIfAborted();
  }
  await forEachRef(context, [...waits.keys()], async (name) => await waits.get(name));
}

/** To a tenth of a second, as a fault tells how long was waited. */
function roundUp(ms: number): number {
  return Math.ceil(ms / 100) * 100;
}

async function dependencies(
  service: Service,
  waits: ReadonlyMap<string, Promise<void>>,
): Promise<void> {
  for (const { service: on } of service.spec?.dependsOn ?? []) {
    const [result] = await Promise.allSettled([waits.get(on)]);
    if (result?.status !== "rejected") continue;
    const message = `Service "${serviceName(service)}" has not converged: it waits for "${on}"`;
    throw new Fault("failed-precondition", message);
  }
}

/** A line for each service, beginning with its name. */
class Board {
  readonly #io: Io;
  readonly #show: ReturnType<typeof liveLines>;
  readonly #lines: Map<string, string>;

  constructor(io: Io, names: readonly string[]) {
    this.#io = io;
    this.#show = liveLines(io.stdout);
    this.#lines = new Map(names.map((name) => [name, ""]));
  }

  printer(name: string): ProgressPrinter {
    return {
      show: (progress) => {
        const error = firstError(progress);
        const overall = overallLine(progress, this.#io.clock.now());
        this.#lines.set(name, error === undefined ? overall : `${overall}  ${error}`);
        this.#show(
          Array.from(this.#lines, ([one, line]) => `${one}: ${line}`).filter(
            (line) => this.#io.stdout.isTTY || !line.endsWith(": "),
          ),
        );
      },
    };
  }
}
