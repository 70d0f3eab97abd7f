/**
 * Writes nodes READY, each with the session that makes it so and the manager that holds it, many in one transaction. The
 * log's order decides which of two sessions is the newer one.
 */
import { create, equals } from "@bufbuild/protobuf";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  type NodeDescription,
  NodeDescriptionSchema,
  NodeState,
  NodeStatusSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { Action } from "../store/objects.ts";
import type { View } from "../store/store.ts";
import type { Session } from "./sessions.ts";

export interface Registration {
  readonly session: Session;
  readonly managerId: string;
  readonly description: NodeDescription | undefined;
  /** Where the node calls from. */
  readonly address: string;
}

/** What the registrations come to. Those whose session is over, here or by a newer one elsewhere, change nothing. */
export function planRegistrations(
  view: View,
  registrations: readonly Registration[],
): readonly Action[] {
  const latest = new Map(registrations.map((one) => [one.session.nodeId, one]));
  return [...latest.values()].flatMap((one): readonly Action[] => {
    const { session } = one;
    const node = view.get("node", session.nodeId);
    if (node === undefined || session.signal.aborted) return [];
    if (session.stored && node.sessionId !== session.id) return [];
    const object = readyNode(node, one);
    return object === undefined ? [] : [{ action: "update", kind: "node", object }];
  });
}

/** What comes of hosts that shut down: they are DOWN, unless a newer session says otherwise. */
export function planFarewells(view: View, sessions: readonly Session[]): readonly Action[] {
  const latest = new Map(sessions.map((one) => [one.nodeId, one]));
  return [...latest.values()].flatMap(({ nodeId, id }): readonly Action[] => {
    const node = view.get("node", nodeId);
    if (node?.status?.state !== NodeState.READY || node.sessionId !== id) return [];
    const { address } = node.status;
    const message = "the host was shut down";
    const status = create(NodeStatusSchema, { state: NodeState.DOWN, message, address });
    return [{ action: "update", kind: "node", object: { ...node, status } }];
  });
}

function readyNode(node: Node, registration: Registration): Node | undefined {
  const { session, managerId, address } = registration;
  const description = registration.description ?? node.description;
  const same =
    node.sessionId === session.id &&
    node.status?.state === NodeState.READY &&
    node.status.address === address &&
    sameDescription(node.description, description);
  if (same) return undefined;
  const status = create(NodeStatusSchema, { state: NodeState.READY, address });
  return { ...node, description, status, sessionId: session.id, sessionManagerId: managerId };
}

function sameDescription(a: NodeDescription | undefined, b: NodeDescription | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return equals(NodeDescriptionSchema, a, b);
}
