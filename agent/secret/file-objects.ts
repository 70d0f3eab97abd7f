/**
 * The secrets and configs that managers have given this node, in memory alone. Which they are is known once a manager has
 * spoken; until then whoever needs one waits.
 */
import { Fault } from "#proto/fault.ts";
import type { Config, Secret } from "#proto/gen/swarm/v1/objects_pb.ts";

export interface FileSet {
  readonly secrets: ReadonlyMap<string, Secret>;
  readonly configs: ReadonlyMap<string, Config>;
}

export class FileObjects {
  #known: FileSet | undefined;
  readonly #told = Promise.withResolvers<void>();

  /** What a manager says now; complete each time. */
  update(known: FileSet): void {
    this.#known = known;
    this.#told.resolve();
  }

  /** Whether a manager has spoken. */
  get told(): boolean {
    return this.#known !== undefined;
  }

  /** The set, as soon as a manager has spoken; the signal's reason where that comes first. */
  async get(signal: AbortSignal): Promise<FileSet> {
    if (this.#known === undefined) await unlessAborted(this.#told.promise, signal);
    if (this.#known !== undefined) return this.#known;
    throw new Fault("internal", "no manager has said which secrets there are");
  }
}

async function unlessAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(Fault.from(signal.reason));
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
