/** Whether a node runs what a service is for. Images name architectures as Go does, people also as uname does. */
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { TaskSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { Platform } from "#proto/gen/swarm/v1/types_pb.ts";
import { rankPlatform } from "#registry/platform.ts";

const aliases: ReadonlyMap<string, string> = new Map([
  ["x86_64", "amd64"],
  ["aarch64", "arm64"],
  ["armv7l", "arm"],
]);

/** The one name of an architecture. */
export function architectureOf(name: string): string {
  return aliases.get(name.toLowerCase()) ?? name;
}

/** Of each list any will do, and an empty one is any. */
export interface WantedPlatforms {
  /** The user's wish. */
  readonly wished: readonly Platform[];
  /** Those that the image is made for. */
  readonly image: readonly Platform[];
}

export function wantedPlatforms(spec: TaskSpec | undefined): WantedPlatforms {
  const runtime = spec?.runtime;
  return {
    wished: spec?.placement?.platforms ?? [],
    image: runtime?.case === "container" ? runtime.value.imagePlatforms : [],
  };
}

export function runsAnyOf(node: Node, { wished, image }: WantedPlatforms): boolean {
  return (
    (wished.length === 0 || wished.some((wanted) => runsPlatform(node, wanted))) &&
    (image.length === 0 || image.some((offered) => runsImage(node, offered)))
  );
}

/** As the node itself will choose from the image; but for variants of processors, which managers do not know. */
function runsImage({ description }: Node, { os, architecture }: Platform): boolean {
  const host = description?.platform;
  return host !== undefined && rankPlatform({ os, architecture }, host) !== undefined;
}

function runsPlatform(node: Node, wanted: Platform): boolean {
  const has = node.description?.platform;
  return (
    (wanted.os === "" || wanted.os === has?.os) &&
    (wanted.architecture === "" ||
      architectureOf(wanted.architecture) === architectureOf(has?.architecture ?? ""))
  );
}
