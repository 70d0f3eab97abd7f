/**
 * From whom a node takes a blob. Pure.
 *
 * Nodes that hold the blob come first, each reader in an order of its own, so that readers spread. Nodes that are getting
 * it stand in a total order, by the hash of digest and node, which differs from blob to blob: the first in it takes the
 * blob from the registry, the others form a tree below it and read from their parents while it still comes there.
 *
 * Invariant: nobody waits for a blob that comes to a node at or after itself in the order, whatever nodes it knows of. As
 * the order depends on nothing but the two names, no circle of waiting nodes can be, however much their views differ.
 */
import { createHash } from "node:crypto";

export interface Peer {
  readonly nodeId: string;
  /** HOST:PORT of its engine. */
  readonly address: string;
  /** It had the image at some time; else it is getting it. */
  readonly holds: boolean;
}

/** Children of a node in the tree. */
export const fanOut = 4;

/** Nodes that hold the blob and are asked before those that are getting it. */
const holdersMax = 2;

export interface Question {
  readonly digest: string;
  /** The node that asks. */
  readonly nodeId: string;
  readonly peers: readonly Peer[];
}

/** Whom to ask, one after the other, before the registry. */
export function planSources(question: Question): readonly Peer[] {
  return [...holdersOf(question).slice(0, holdersMax), ...ancestorsOf(question)];
}

/** Everybody who may have it, for when the registry does not give it. */
export function allSources(question: Question): readonly Peer[] {
  const { digest, nodeId, peers } = question;
  const isAhead = (peer: Peer) => !peer.holds && mayWait(digest, nodeId, peer.nodeId);
  return [...holdersOf(question), ...sorted(digest, peers.filter(isAhead))];
}

/** Whether `reader` may wait for a blob that comes to `source`. */
export function mayWait(digest: string, reader: string, source: string): boolean {
  return rankOf(digest, source) < rankOf(digest, reader);
}

function holdersOf({ digest, nodeId, peers }: Question): readonly Peer[] {
  const holders = peers.filter((peer) => peer.holds && peer.nodeId !== nodeId);
  return sorted(`${digest} ${nodeId}`, holders);
}

/** Parent first, the root last; empty for the root. */
function ancestorsOf({ digest, nodeId, peers }: Question): readonly Peer[] {
  const coming = peers.filter((peer) => !peer.holds);
  const ahead = sorted(digest, coming).filter((peer) => mayWait(digest, nodeId, peer.nodeId));
  const ancestors: Peer[] = [];
  for (let at = ahead.length; at > 0; ) {
    at = Math.floor((at - 1) / fanOut);
    const ancestor = ahead[at];
    if (ancestor !== undefined) ancestors.push(ancestor);
  }
  return ancestors;
}

function sorted(seed: string, peers: readonly Peer[]): readonly Peer[] {
  const ranked = peers.map((peer) => ({ peer, rank: rankOf(seed, peer.nodeId) }));
  return ranked.toSorted((a, b) => (a.rank < b.rank ? -1 : 1)).map(({ peer }) => peer);
}

/** Ends with the node's ID: no two nodes have the same. */
function rankOf(seed: string, nodeId: string): string {
  return `${createHash("sha256").update(`${seed} ${nodeId}`).digest("hex")} ${nodeId}`;
}
