/** What an event is, and the words of which it is made. */
import type { StoreObject } from "#proto/gen/swarm/v1/objects_pb.ts";

export type WatchedObject = Exclude<StoreObject["object"], { case: "volume" | undefined }>;
export type Kind = WatchedObject["case"];

export type Attributes = Readonly<Record<string, string>>;

export interface HappenedEvent {
  readonly type: Kind;
  readonly action: string;
  readonly id: string;
  readonly attributes: Attributes;
}

/** One thing of an object's that may change: its name in attributes, and its words. */
export type Aspect<T> = readonly [name: string, wordOf: (object: T) => string];

/** As Docker: `state.old` and `state.new`. */
export function changedAspects<T>(
  aspects: readonly Aspect<T>[],
  before: T,
  after: T,
): Record<string, string> {
  const changes: Record<string, string> = {};
  for (const [name, wordOf] of aspects) {
    const [old, now] = [wordOf(before), wordOf(after)];
    if (old === now) continue;
    changes[`${name}.new`] = now;
    if (old !== "") changes[`${name}.old`] = old;
  }
  return changes;
}

export function labelsWord(labels: Readonly<Record<string, string>> = {}): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .toSorted()
    .join(" ");
}

/** An object before and after a change; one of both is there. */
export interface Pair<T> {
  readonly before: T | undefined;
  readonly after: T | undefined;
}
