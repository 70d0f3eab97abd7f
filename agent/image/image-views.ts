/** The store's references, put together by image, and what people call one: a name, an ID, or its beginning. Pure. */
import { Fault } from "#proto/fault.ts";
import { formatReference, parseReference, type Reference } from "#registry/reference.ts";
import type { HeldImage } from "./image-store.ts";

export interface ImageView {
  /** Digest of the config. */
  readonly id: string;
  /** At least one. */
  readonly held: readonly [HeldImage, ...HeldImage[]];
  /** Full form, with tag. */
  readonly tags: readonly string[];
  /** Full form, NAME@DIGEST. */
  readonly digests: readonly string[];
  /** Of its layers unpacked. */
  readonly sizeBytes: number;
  /** Of which other images have them, too. */
  readonly sharedBytes: number;
  readonly usedAtMs: number;
}

/** The shortest beginning of an ID that is taken for one. */
const prefixPattern = /^(?:sha256:)?([0-9a-f]{2,64})$/;

/** The one that was used last first. */
export function viewImages(held: readonly HeldImage[]): readonly ImageView[] {
  const byId = new Map<string, [HeldImage, ...HeldImage[]]>();
  const owners = new Map<string, Set<string>>();
  for (const image of held) {
    const group = byId.get(image.configDigest);
    if (group === undefined) byId.set(image.configDigest, [image]);
    else group.push(image);
    for (const { unpacked } of image.parts) {
      const ids = owners.get(unpacked.name) ?? new Set();
      owners.set(unpacked.name, ids.add(image.configDigest));
    }
  }
  return [...byId]
    .map(([id, group]) => viewOf(id, group, owners))
    .toSorted((a, b) => b.usedAtMs - a.usedAtMs);
}

function viewOf(
  id: string,
  held: readonly [HeldImage, ...HeldImage[]],
  owners: ReadonlyMap<string, ReadonlySet<string>>,
): ImageView {
  const layers = new Map(held[0].parts.map(({ unpacked }) => [unpacked.name, unpacked.sizeBytes]));
  const sum = (names: Iterable<string>) =>
    [...names].reduce((bytes, name) => bytes + (layers.get(name) ?? 0), 0);
  const shared = [...layers.keys()].filter((name) => (owners.get(name)?.size ?? 0) > 1);
  const unique = (texts: readonly (string | undefined)[]) => [
    ...new Set(texts.filter((text) => text !== undefined)),
  ];
  return {
    id,
    held,
    tags: unique(held.map(({ reference }) => tagOf(reference))),
    digests: unique(held.map(digestNameOf)),
    sizeBytes: sum(layers.keys()),
    sharedBytes: sum(shared),
    usedAtMs: Math.max(...held.map(({ usedAtMs }) => usedAtMs)),
  };
}

/** The image as it is now; undefined where it is gone, or where a task may have come for it since it was looked at. */
export function ifUnusedSince(
  { id, usedAtMs }: ImageView,
  held: readonly HeldImage[],
): ImageView | undefined {
  return viewImages(held).find((view) => view.id === id && view.usedAtMs <= usedAtMs);
}

/** The image that people mean, and which of its references they name: none where they say its ID. */
export function findImage(
  views: readonly ImageView[],
  ref: string,
): { readonly view: ImageView; readonly named: readonly string[] } {
  const prefix = prefixPattern.exec(ref)?.[1];
  const byId = prefix === undefined ? [] : views.filter(({ id }) => id.slice(7).startsWith(prefix));
  const named = findNamed(views, ref);
  // As Docker: a name is a name, also one that could be an ID, unless it names nothing.
  if (named !== undefined) return named;
  const [view, other] = byId;
  if (other !== undefined) {
    throw new Fault("invalid-argument", `several images have IDs that begin with "${ref}"`);
  }
  if (view !== undefined) return { view, named: [] };
  throw new Fault("not-found", `there is no image "${ref}" on this node`);
}

function findNamed(views: readonly ImageView[], ref: string) {
  const wanted = tryParse(ref);
  if (wanted === undefined) return undefined;
  const full = formatReference(wanted);
  const found = views.map((view) => {
    const named = view.held.map(({ reference }) => reference);
    // A tag is one name, however many digests it was pulled with: services have them.
    if (wanted.digest === undefined) {
      return { view, named: named.filter((reference) => tagOf(reference) === full) };
    }
    if (named.includes(full)) return { view, named: [full] };
    const name = digestName(wanted, wanted.digest);
    const isMeant = (image: HeldImage) => digestNameOf(image) === name;
    return { view, named: view.held.filter(isMeant).map(({ reference }) => reference) };
  });
  return (
    found.find(({ named }) => named.includes(full)) ?? found.find(({ named }) => named.length > 0)
  );
}

/** REPOSITORY:TAG of a reference that has a tag, whatever digest goes with it. */
export function tagOf(reference: string): string | undefined {
  const parsed = tryParse(reference);
  if (parsed?.tag === undefined) return undefined;
  const { registry, repository, tag } = parsed;
  return formatReference({ registry, repository, tag });
}

function digestNameOf({ reference, digest }: HeldImage): string | undefined {
  const parsed = tryParse(reference);
  return parsed && digestName(parsed, digest);
}

function digestName({ registry, repository }: Reference, digest: string): string {
  return formatReference({ registry, repository, digest });
}

function tryParse(reference: string): Reference | undefined {
  try {
    return parseReference(reference);
  } catch (error) {
    // "@DIGEST": an image without a name.
    if (error instanceof Fault && error.code === "invalid-argument") return undefined;
    throw error;
  }
}
