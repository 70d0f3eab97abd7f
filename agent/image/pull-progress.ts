/** How far a pull is: the layers' bytes added up, told at most so often that a terminal and a wire can bear it. */
import type { Clock } from "#proto/ports.ts";

export interface PullProgress {
  readonly phase: "resolving" | "downloading" | "unpacking" | "complete";
  /** Of the packed layers; layers that were here already count as complete. */
  readonly completedBytes: number;
  /** 0 while it is not known yet. */
  readonly totalBytes: number;
}

export interface LayerProgress {
  readonly phase: "downloading" | "unpacking" | "complete";
  readonly completedBytes: number;
}

/** Ten times a second. */
const intervalMs = 100;

export class ProgressMeter {
  readonly #clock: Clock;
  readonly #emit: (progress: PullProgress) => void;
  readonly #layers: LayerProgress[] = [];
  #totalBytes = 0;
  #phase: PullProgress["phase"] | undefined;
  #emittedAt = 0;

  constructor(emit: (progress: PullProgress) => void, modules: { readonly clock: Clock }) {
    this.#emit = emit;
    this.#clock = modules.clock;
    this.#update("resolving");
  }

  /** The layers are known. */
  start(sizesBytes: readonly number[]): void {
    this.#totalBytes = sizesBytes.reduce((sum, sizeBytes) => sum + sizeBytes, 0);
    for (const index of sizesBytes.keys()) {
      this.#layers[index] = { phase: "downloading", completedBytes: 0 };
    }
  }

  onLayer(index: number, progress: LayerProgress): void {
    this.#layers[index] = progress;
    const downloading = this.#layers.some(({ phase }) => phase === "downloading");
    this.#update(downloading ? "downloading" : "unpacking");
  }

  complete(): void {
    this.#update("complete");
  }

  /** A new phase is told at once, more of the same now and then. */
  #update(phase: PullProgress["phase"]): void {
    const now = this.#clock.monotonic();
    if (phase === this.#phase && now - this.#emittedAt < intervalMs) return;
    this.#phase = phase;
    this.#emittedAt = now;
    const completedBytes = this.#layers.reduce((sum, layer) => sum + layer.completedBytes, 0);
    this.#emit({ phase, completedBytes, totalBytes: this.#totalBytes });
  }
}
