/**
 * Asks registries which digest an image's tag stands for, so that all tasks of a service run the same image. A service
 * is created whether or not that can be told, so no answer is waited for long.
 */
import { Fault } from "#proto/fault.ts";
import type { Ports } from "#proto/ports.ts";
import type { RegistrySettings } from "#registry/endpoints.ts";
import { formatReference, parseReference } from "#registry/reference.ts";
import { Registry } from "#registry/registry.ts";

/** With the write that follows it stays within what a user's call may take. */
const resolveMsDefault = 8_000;
const deadlines = { headersMs: 5_000, stallMs: 5_000 };

export interface ImageQuestion {
  /** As in PullOptions. */
  readonly registryAuth: string;
  readonly signal: AbortSignal;
}

export interface ImageResolverOptions extends RegistrySettings {
  readonly resolveMs?: number;
}

export class ImageResolver implements Disposable {
  readonly #resolveMs: number;
  readonly #registry: Registry;
  readonly #clock: Ports["clock"];

  constructor(options: ImageResolverOptions, modules: Pick<Ports, "clock" | "random">) {
    this.#resolveMs = options.resolveMs ?? resolveMsDefault;
    this.#registry = new Registry({ ...options, deadlines }, modules);
    this.#clock = modules.clock;
  }

  /** The image's full form with its digest; one that has a digest is as it was. */
  async resolve(image: string, { registryAuth, signal }: ImageQuestion): Promise<string> {
    const reference = parseReference(image);
    if (reference.digest !== undefined) return image;
    const late = new AbortController();
    const ms = this.#resolveMs;
    const awaited = `the registry "${reference.registry}" to tell the digest of "${image}"`;
    using _timer = this.#clock.timer(ms, () =>
      late.abort(new Fault("deadline-exceeded", `waited ${ms / 1000} s for ${awaited}`)),
    );
    const access = { registryAuth, signal: AbortSignal.any([signal, late.signal]) };
    const digest = await this.#registry.resolve(reference, access);
    return formatReference({ ...reference, digest });
  }

  configure(settings: RegistrySettings): void {
    this.#registry.configure(settings);
  }

  [Symbol.dispose](): void {
    this.#registry[Symbol.dispose]();
  }
}
