/**
 * Waits until a service is what its spec says, following the cluster's events. It changes nothing: whoever stops waiting
 * leaves the cluster at work.
 */
import { type Command, Option } from "commander";
import { Fault } from "#proto/fault.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Context, ControlClient } from "../context.ts";
import { durationMs, flag } from "../flags/parse-flag.ts";
import {
  firstError,
  isRollback,
  noProgress,
  onWatch,
  type Progress,
  runningCount,
  wantedCount,
} from "./progress.ts";
import { judge } from "./judge.ts";
import { visibleLines } from "../output/table.ts";
import { type ProgressPrinter, progressPrinter, quietPrinter } from "./progress-lines.ts";
import { completedCount, isJob } from "./run-progress.ts";
import { serviceName } from "./words.ts";

export interface ConvergeOptions {
  /** Of a job, the run to wait for; left out: the newest. */
  readonly run?: bigint;
  readonly detach?: true;
  readonly quiet?: true;
  /** Milliseconds; 0 means no limit. */
  readonly timeout: number;
  /** Of whoever waits for several, and says for all of them that the work goes on. */
  readonly printer?: ProgressPrinter;
}

/** A container that cannot live ends within moments: so long all tasks must run before they count as up. */
const stableMs = 1000;

/** Pause before watching again when the manager went away. */
const rewatchMs = 250;

const timeoutDefaultMs = 10 * 60_000;

export function addConvergeFlags(command: Command): Command {
  return command
    .optionsGroup("Waiting:")
    .option("-d, --detach", "return at once instead of waiting until all tasks run")
    .option("-q, --quiet", "show no progress")
    .addOption(
      new Option("--timeout <duration>", "wait no longer than this; 0: no limit, as for jobs")
        .argParser(flag(durationMs))
        .default(timeoutDefaultMs, "10m"),
    );
}

/** A job takes as long as it takes, unless its user says otherwise. */
export function withJobTimeout<T extends ConvergeOptions>(
  command: Command,
  service: Service,
  options: T,
): T {
  const isSaid = command.getOptionValueSource("timeout") === "cli";
  return isSaid || !isJob(service) ? options : { ...options, timeout: 0 };
}

export async function converge(
  context: Context,
  control: ControlClient,
  service: Service,
  options: ConvergeOptions,
): Promise<void> {
  const name = serviceName(service);
  using wait = new Wait(context, service, options);
  try {
    await wait.run(control);
  } catch (thrown) {
    if (context.io.signal.aborted && options.printer === undefined) {
      context.io.stderr.write(
        `Operation continuing in background: see "swarmctl service ps ${name}"\n`,
      );
    }
    throw Fault.wrap(`Service "${name}" has not converged`, thrown);
  }
}

class Wait implements Disposable {
  readonly #context: Context;
  readonly #options: ConvergeOptions;
  readonly #scope = new AbortController();
  readonly #end = Promise.withResolvers<void>();
  readonly #printer;
  /** A service that is on its way back already, or was left so by what was before, is no failure of this change. */
  readonly #rollback: boolean;
  #progress: Progress;
  #stable: { fingerprint: string; timer: Disposable } | undefined;

  constructor(context: Context, service: Service, options: ConvergeOptions) {
    this.#context = context;
    this.#options = options;
    this.#rollback = isRollback(service);
    this.#progress = noProgress(service.id, options.run);
    this.#printer = options.quiet ? quietPrinter : (options.printer ?? progressPrinter(context.io));
  }

  async run(control: ControlClient): Promise<void> {
    const { clock } = this.#context.io;
    const { timeout } = this.#options;
    using _timer =
      timeout === 0 ? undefined : clock.timer(timeout, () => this.#end.reject(this.#late()));
    await Promise.race([this.#end.promise, this.#follow(control)]);
  }

  [Symbol.dispose](): void {
    this.#stable?.timer[Symbol.dispose]();
    this.#scope.abort();
  }

  /** Never resolves: it ends by a fault or with its scope. */
  async #follow(control: ControlClient): Promise<void> {
    const signal = AbortSignal.any([this.#scope.signal, this.#context.io.signal]);
    const { serviceId, run } = this.#progress;
    for (;;) {
      try {
        const kinds = ["node", "service", "task"];
        const request = { kinds, serviceIds: [serviceId] };
        for await (const response of control.watch(request, { signal })) {
          this.#onProgress(await this.#counted(control, onWatch(this.#progress, response)));
        }
      } catch (thrown) {
        const fault = Fault.from(thrown);
        if (signal.aborted || !fault.retryable) throw fault;
      }
      // The manager went away. The next watch tells everything anew.
      this.#onProgress(noProgress(serviceId, run));
      await this.#context.io.clock.sleep(rewatchMs, signal);
    }
  }

  /** Which nodes a service is for, managers know. */
  async #counted(control: ControlClient, progress: Progress): Promise<Progress> {
    const mode = progress.service?.spec?.mode.case;
    const isPerNode = mode === "global" || mode === "globalJob";
    if (!isPerNode || progress.removed) return progress;
    const before = this.#progress;
    const isSame =
      before.desired !== undefined &&
      before.service === progress.service &&
      before.nodes === progress.nodes &&
      before.tasks.size === progress.tasks.size;
    if (isSame) return progress;
    const { status } = await control.getService({ ref: progress.serviceId });
    return { ...progress, desired: Number(status?.desiredTasks ?? 0n) };
  }

  #onProgress(progress: Progress): void {
    this.#progress = progress;
    const verdict = judge(progress, { rollback: this.#rollback });
    if (progress.service !== undefined) this.#printer.show(progress);
    const fingerprint = verdict.kind === "converged" ? verdict.fingerprint : undefined;
    if (this.#stable !== undefined && this.#stable.fingerprint === fingerprint) return;
    this.#stable?.timer[Symbol.dispose]();
    this.#stable = undefined;
    if (verdict.kind === "failed") {
      this.#end.reject(new Fault("failed-precondition", verdict.reason));
    } else if (verdict.kind === "converged") {
      const timer = this.#context.io.clock.timer(stableMs, () => {
        if (verdict.note !== undefined)
          this.#context.io.stderr.write(`${visibleLines(verdict.note)}\n`);
        this.#end.resolve();
      });
      this.#stable = { fingerprint: verdict.fingerprint, timer };
    }
  }

  #late(): Fault {
    const progress = this.#progress;
    const seconds = this.#options.timeout / 1000;
    const error = firstError(progress);
    return new Fault(
      "deadline-exceeded",
      `after ${seconds} s ${countsOf(progress)}${
        error === undefined ? "" : ` (${error})`
      }; the cluster goes on trying`,
    );
  }
}

function countsOf(progress: Progress): string {
  const { service } = progress;
  const wanted = wantedCount(progress) ?? 0;
  if (service !== undefined && isJob(service)) {
    return `${completedCount(progress)} of ${wanted} tasks are complete`;
  }
  return `${runningCount(progress)} of ${wanted} tasks run`;
}
