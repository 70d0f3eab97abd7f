/**
 * Asks registries which digest an image's tag stands for, so that all tasks of a service run the same image, and what that
 * is made for, so that they go to nodes that can run it. A service is created whether or not that can be told, so no answer
 * is waited for long.
 */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { type Platform, PlatformSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Ports } from "#proto/ports.ts";
import { digestOf } from "#registry/digest.ts";
import type { Access } from "#registry/endpoint-client.ts";
import type { RegistrySettings } from "#registry/endpoints.ts";
import { parseConfigPlatform, parseManifest } from "#registry/manifest.ts";
import { formatReference, parseReference, type Reference } from "#registry/reference.ts";
import { Registry } from "#registry/registry.ts";

/** With the write that follows it stays within what a user's call may take. */
const resolveMsDefault = 8_000;
const deadlines = { headersMs: 5_000, stallMs: 5_000 };

/** Of images that people build; a larger one says of itself what it likes, and is not asked. */
const configBytesMax = 1024 * 1024;

export interface ResolvedImage {
  /** The full form with its digest. */
  readonly image: string;
  /** Empty: nobody told. */
  readonly platforms: readonly Platform[];
}

export interface ImageQuestion {
  /** As in PullOptions. */
  readonly registryAuth: string;
  readonly signal: AbortSignal;
  /** What was resolved before, if that was asked for: of the same image it is not asked again. */
  readonly known?: ResolvedImage | undefined;
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

  /** No registry is asked for one that has a digest: it is as it was. */
  async resolve(
    image: string,
    { registryAuth, signal, known }: ImageQuestion,
  ): Promise<ResolvedImage> {
    const reference = parseReference(image);
    if (reference.digest !== undefined) {
      return image === known?.image ? known : { image, platforms: [] };
    }
    const late = new AbortController();
    const ms = this.#resolveMs;
    const awaited = `the registry "${reference.registry}" to tell the digest of "${image}"`;
    using _timer = this.#clock.timer(ms, () =>
      late.abort(new Fault("deadline-exceeded", `waited ${ms / 1000} s for ${awaited}`)),
    );
    const access = { registryAuth, signal: AbortSignal.any([signal, late.signal]) };
    const pinned = { ...reference, digest: await this.#registry.resolve(reference, access) };
    const full = formatReference(pinned);
    if (full === known?.image) return known;
    const platforms = await this.#platforms(pinned, access);
    signal.throwIfAborted();
    return { image: full, platforms };
  }

  /** Of an index each platform that it names; of one image what its config says. */
  async #platforms(reference: Reference, access: Access): Promise<readonly Platform[]> {
    const { signal, registryAuth } = access;
    try {
      const bytes = await this.#registry.manifest(reference, signal, registryAuth);
      const manifest = parseManifest(bytes);
      if (manifest.kind === "index") {
        return distinct(manifest.manifests.flatMap(({ platform }) => platform ?? []));
      }
      const { config } = manifest;
      const blob = await this.#registry.smallBlob(reference, config, {
        ...access,
        bytesMax: configBytesMax,
      });
      return digestOf(blob) === config.digest ? distinct([parseConfigPlatform(blob)]) : [];
    } catch {
      // The digest is what counts; a node that cannot run the image says so itself.
      return [];
    }
  }

  configure(settings: RegistrySettings): void {
    this.#registry.configure(settings);
  }

  [Symbol.dispose](): void {
    this.#registry[Symbol.dispose]();
  }
}

/** Without those of entries that are no images, as signatures are: "unknown". */
function distinct(named: readonly { os: string; architecture: string }[]): readonly Platform[] {
  const known = named.filter((one) => !["", "unknown"].includes(one.os) && one.architecture !== "");
  const byName = new Map(
    known.map(({ os, architecture }) => [
      `${os}/${architecture}`,
      create(PlatformSchema, { os, architecture }),
    ]),
  );
  return [...byName.values()];
}
