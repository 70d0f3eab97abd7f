/**
 * Which nodes have an image or are getting it, as this manager's store tells by the states of tasks. It may be a little
 * behind, and a node may have lost what it had: whoever asks finds out by trying.
 */
import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { type ImagePeer, ImagePeerSchema } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeState, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { View } from "../store/store.ts";

/** An answer's size times the nodes that ask is what a manager sends when all of them deploy at once. */
const peersMax = 256;

/** All nodes but the one that asks. Of too many, the same are told to everybody, other ones for other images. */
export function findImagePeers(
  view: View,
  { digest, nodeId }: { readonly digest: string; readonly nodeId: string },
): readonly ImagePeer[] {
  const holding = new Map<string, boolean>();
  for (const task of view.list("task")) {
    if (task.nodeId === "" || task.nodeId === nodeId || !isOf(task, digest)) continue;
    const holds = holdsImage(task);
    if (holds !== undefined) holding.set(task.nodeId, holds || holding.get(task.nodeId) === true);
  }
  const peers = [...holding].flatMap(([id, holds]) => {
    const node = view.get("node", id);
    const engineAddress = node?.description?.engineAddress ?? "";
    const isReachable = node?.status?.state === NodeState.READY && engineAddress !== "";
    return isReachable ? [create(ImagePeerSchema, { nodeId: id, engineAddress, holds })] : [];
  });
  return peers.length <= peersMax ? peers : someOf(peers, digest);
}

function isOf({ spec }: Task, digest: string): boolean {
  return spec?.runtime.case === "container" && spec.runtime.value.image.endsWith(`@${digest}`);
}

/** Undefined: nothing can be said. */
function holdsImage({ status, desiredState }: Task): boolean | undefined {
  const state = status?.state ?? TaskState.NEW;
  if (state >= TaskState.READY && state <= TaskState.FAILED) return true;
  const isWanted = desiredState <= TaskState.COMPLETE;
  return isWanted && state >= TaskState.ASSIGNED && state <= TaskState.PREPARING
    ? false
    : undefined;
}

function someOf(peers: readonly ImagePeer[], digest: string): readonly ImagePeer[] {
  const drawn = peers.map((peer) => {
    const lot = createHash("sha256").update(`${digest} ${peer.nodeId}`).digest("hex");
    return { peer, lot };
  });
  return drawn
    .toSorted((a, b) => (a.lot < b.lot ? -1 : 1))
    .slice(0, peersMax)
    .map(({ peer }) => peer);
}
