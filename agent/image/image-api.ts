/** The node's images as users handle them: Docker's rules for names, removal and pruning. */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type GetImageResponse,
  GetImageResponseSchema,
  type Image,
  ImageSchema,
  type ImageService,
  type LoadImagesRequest,
  type PruneImagesRequest,
  type PullImageRequest,
  type PullImageResponse,
  PullImageResponseSchema,
  type RemoveImageRequest,
  type SaveImagesRequest,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Handlers } from "#proto/grpc.ts";
import type { Clock } from "#proto/ports.ts";
import { msFromDuration, timestampFromMs } from "#proto/time.ts";
import { manifestBytesMax } from "#registry/manifest.ts";
import { imageConfigBytesMax } from "./image-config.ts";
import { loadImages } from "./image-load.ts";
import { type ImageToSave, saveImages } from "./image-save.ts";
import type { ImageStore } from "./image-store.ts";
import { findImage, ifUnusedSince, type ImageView, tagOf, viewImages } from "./image-views.ts";
import type { PullProgress } from "./pull-progress.ts";
import { layersInUse, type ReadTaskUses, usesOf } from "./task-uses.ts";

export interface ImageApiModules {
  readonly store: ImageStore;
  readonly uses: ReadTaskUses;
  readonly clock: Clock;
}

export function imageHandlers(modules: ImageApiModules): Handlers<typeof ImageService> {
  return {
    listImages: async () => ({ images: await listImages(modules) }),
    getImage: ({ ref }) => getImage(modules, ref),
    pullImage: (request, { signal }) => pullImage(modules, request, signal),
    removeImage: (request) => removeImage(modules, request),
    pruneImages: (request) => pruneImages(modules, request),
    loadImages: async (requests, { signal }) => {
      const held = await loadImages(chunksOf(requests), { signal }, modules);
      const ids = new Set(held.map(({ configDigest }) => configDigest));
      return { images: (await listImages(modules)).filter(({ id }) => ids.has(id)) };
    },
    saveImages: (request) => streamImages(modules, request),
  };
}

async function listImages({ store, uses }: ImageApiModules): Promise<Image[]> {
  const live = (await uses()).filter(({ isLive }) => isLive);
  return viewImages(store.list()).map((view) => messageOf(view, usesOf(view, live).length > 0));
}

function messageOf(view: ImageView, inUse: boolean): Image {
  const { config } = view.held[0];
  const createdAtMs = Date.parse(config.created);
  return create(ImageSchema, {
    id: view.id,
    references: [...view.tags],
    digests: [...view.digests],
    sizeBytes: BigInt(view.sizeBytes),
    sharedBytes: BigInt(view.sharedBytes),
    inUse,
    architecture: config.architecture,
    os: config.os,
    lastUsedAt: timestampFromMs(view.usedAtMs),
    ...(Number.isFinite(createdAtMs) ? { createdAt: timestampFromMs(createdAtMs) } : {}),
  });
}

async function getImage({ store, uses }: ImageApiModules, ref: string): Promise<GetImageResponse> {
  const { view } = findImage(viewImages(store.list()), ref);
  const [image] = view.held;
  const live = (await uses()).filter(({ isLive }) => isLive);
  const [manifest, config] = await Promise.all([
    store.content.read(image.manifestDigest, manifestBytesMax),
    store.content.read(image.configDigest, imageConfigBytesMax),
  ]);
  if (manifest === undefined || config === undefined) {
    throw new Fault("data-loss", `image "${ref}" is damaged on this node: pull it again`);
  }
  return create(GetImageResponseSchema, {
    image: messageOf(view, usesOf(view, live).length > 0),
    manifest: manifest.toString(),
    config: config.toString(),
    layers: image.parts.map(({ blob, diffId, unpacked }) => ({
      digest: blob.digest,
      diffId,
      sizeBytes: BigInt(unpacked.sizeBytes),
    })),
  });
}

/** Progress as it comes; what comes while nobody reads is replaced by what is newer. */
async function* pullImage(
  { store, uses }: ImageApiModules,
  { reference, registryAuth }: PullImageRequest,
  signal: AbortSignal,
): AsyncGenerator<PullImageResponse> {
  let newest: PullProgress | undefined;
  let wake = Promise.withResolvers<void>();
  const done = new AbortController();
  const pulling = store
    .pull(reference, {
      signal,
      isStrict: true,
      ...(registryAuth === "" ? {} : { registryAuth }),
      onProgress: (progress) => {
        newest = progress;
        wake.resolve();
      },
    })
    .finally(() => {
      done.abort();
      wake.resolve();
    });
  // Its fault is thrown below, when all progress was told.
  pulling.catch(() => {});
  while (!done.signal.aborted) {
    await wake.promise;
    wake = Promise.withResolvers<void>();
    if (newest !== undefined) yield progressMessage(newest);
    newest = undefined;
  }
  const { configDigest } = await pulling;
  const view = viewImages(store.list()).find(({ id }) => id === configDigest);
  const live = (await uses()).filter(({ isLive }) => isLive);
  const image = view && messageOf(view, usesOf(view, live).length > 0);
  yield create(PullImageResponseSchema, { message: "complete", ...(image && { image }) });
}

function progressMessage({ phase, completedBytes, totalBytes }: PullProgress): PullImageResponse {
  return create(PullImageResponseSchema, {
    message: phase,
    completedBytes: BigInt(completedBytes),
    totalBytes: BigInt(totalBytes),
  });
}

async function removeImage({ store, uses }: ImageApiModules, { ref, force }: RemoveImageRequest) {
  const { view, named } = findImage(viewImages(store.list()), ref);
  const all = view.held.map(({ reference }) => reference);
  const others = all.filter((reference) => !named.includes(reference));
  const tags = view.tags;
  if (named.length === 0 && tags.length > 1 && !force) {
    throw new Fault(
      "failed-precondition",
      `image ${shortId(view)} has several names (${tags.join(", ")}): remove them by name, or all with --force`,
    );
  }
  // A name that has no tag goes with the last tag: nobody would know the image by it.
  const isLast = force || named.length === 0 || !others.some((other) => tagOf(other) !== undefined);
  const inUse = await uses();
  if (isLast) {
    const live = inUse.filter(({ isLive }) => isLive);
    const [use] = usesOf(view, live);
    if (use !== undefined) {
      throw new Fault(
        "failed-precondition",
        `image "${ref}" is in use by task ${use.taskId}: remove its service first`,
      );
    }
    if (ifUnusedSince(view, store.list()) === undefined) {
      throw new Fault("failed-precondition", `image "${ref}" was used just now: try again`);
    }
  }
  const references = isLast ? all : named;
  const reclaimedBytes = await store.remove(references, layersInUse(inUse));
  return {
    untagged: references.filter((reference) => !reference.startsWith("@")),
    deleted: isLast ? [view.id] : [],
    reclaimedBytes: BigInt(reclaimedBytes),
  };
}

function shortId({ id }: ImageView): string {
  return id.slice("sha256:".length, "sha256:".length + 12);
}

async function pruneImages(
  { store, uses, clock }: ImageApiModules,
  { all, unusedFor }: PruneImagesRequest,
) {
  const beforeMs = clock.now() - msFromDuration(unusedFor, 0);
  const deleted: string[] = [];
  let reclaimed = await store.sweep(layersInUse(await uses()));
  for (const view of viewImages(store.list())) {
    if (!all && view.tags.length > 0) continue;
    if (view.usedAtMs > beforeMs) continue;
    // Anew for each: tasks come while large images go.
    const inUse = await uses();
    const live = inUse.filter(({ isLive }) => isLive);
    const unused = usesOf(view, live).length > 0 ? undefined : ifUnusedSince(view, store.list());
    if (unused === undefined) continue;
    const references = unused.held.map(({ reference }) => reference);
    reclaimed += await store.remove(references, layersInUse(inUse));
    deleted.push(view.id);
  }
  return { deleted, reclaimedBytes: BigInt(reclaimed) };
}

async function* chunksOf(requests: AsyncIterable<LoadImagesRequest>): AsyncGenerator<Buffer> {
  for await (const { data } of requests) {
    yield Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  }
}

async function* streamImages({ store }: ImageApiModules, { refs }: SaveImagesRequest) {
  if (refs.length === 0)
    throw new Fault("invalid-argument", "Name the images that are to be saved");
  const views = viewImages(store.list());
  const images = new Map<string, ImageToSave>();
  for (const ref of refs) {
    const { view, named } = findImage(views, ref);
    const tags = view.tags.filter((tag) =>
      named.some((reference) => reference === tag || reference.startsWith(`${tag}@`)),
    );
    const before = images.get(view.id)?.references ?? [];
    images.set(view.id, { view, references: [...new Set([...before, ...tags])] });
  }
  for await (const data of saveImages([...images.values()], store)) yield { data };
}
