/** Whether a node runs what an image is made for. Images name architectures as Go does, people also as uname does. */
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Platform } from "#proto/gen/swarm/v1/types_pb.ts";

const aliases: ReadonlyMap<string, string> = new Map([
  ["x86_64", "amd64"],
  ["aarch64", "arm64"],
  ["armv7l", "arm"],
]);

/** The one name of an architecture. */
export function architectureOf(name: string): string {
  return aliases.get(name.toLowerCase()) ?? name;
}

/** Any of them will do; none wanted is any. */
export function runsAnyOf(node: Node, platforms: readonly Platform[]): boolean {
  return platforms.length === 0 || platforms.some((wanted) => runsPlatform(node, wanted));
}

function runsPlatform(node: Node, wanted: Platform): boolean {
  const has = node.description?.platform;
  return (
    (wanted.os === "" || wanted.os === has?.os) &&
    (wanted.architecture === "" ||
      architectureOf(wanted.architecture) === architectureOf(has?.architecture ?? ""))
  );
}
