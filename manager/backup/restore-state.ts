/**
 * The state with which a backup's cluster begins anew on one host. Pure. What users made stays: services, tasks, networks,
 * secrets, configs, tokens, the certificate authority. The nodes stay too, as workers that are DOWN until they come back;
 * the one manager is a new node, whose server the role manager writes down. Who was a manager before has no part in this
 * cluster's log any more.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type Node,
  NodeSchema,
  type StoreObject,
  StoreObjectSchema,
} from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  type NodeAvailability,
  type NodeDescription,
  NodeMembership,
  NodeRole,
  NodeState,
  NodeStatusSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { timestampFromMs } from "#proto/time.ts";
import { asWorker } from "../node.ts";
import type { Backup } from "./backup-file.ts";

export interface RestoreOptions {
  /** Of the host that takes over: a new node. */
  readonly nodeId: string;
  readonly description: NodeDescription;
  readonly availability: NodeAvailability;
  /** What the managers lock themselves with; empty where they do not. */
  readonly unlockKey: string;
  readonly nowMs: number;
}

/** As `Store.restore` takes it, to be the state after the entry `backup.index`. */
export function restoreState(backup: Backup, options: RestoreOptions): Uint8Array[] {
  const objects = backup.pieces.map(parsePiece);
  checkCluster(objects, backup, options.unlockKey);
  const numbers = new Set<number>();
  const restored = objects.map((wrapped) => {
    const { object } = wrapped;
    if (object.case !== "node") return wrapped;
    numbers.add(object.value.number);
    return wrap(castOut(object.value));
  });
  const manager = wrap(managerOf(backup, options, smallestFree(numbers)));
  return [...restored, manager].map((object) => toBinary(StoreObjectSchema, object));
}

function parsePiece(piece: Uint8Array): StoreObject {
  try {
    const object = fromBinary(StoreObjectSchema, piece);
    if (object.object.case !== undefined) return object;
  } catch (thrown) {
    throw Fault.wrap("the backup holds an object that cannot be read", thrown);
  }
  const message =
    "the backup holds an object of a kind that this program does not know: upgrade it";
  throw new Fault("failed-precondition", message);
}

function checkCluster(objects: readonly StoreObject[], backup: Backup, unlockKey: string): void {
  const [cluster] = objects.flatMap(({ object }) =>
    object.case === "cluster" ? object.value : [],
  );
  if (cluster?.id !== backup.clusterId) {
    throw new Fault("data-loss", "the backup does not hold the cluster that it names");
  }
  if (cluster.unlockKey === unlockKey || cluster.unlockKey === "") return;
  const message =
    unlockKey === ""
      ? "the managers of this cluster lock themselves: give their unlock key, with --unlock"
      : "the unlock key is not the one that the cluster had when the backup was made";
  throw new Fault("failed-precondition", message);
}

function castOut(node: Node): Node {
  const status = create(NodeStatusSchema, {
    state: NodeState.DOWN,
    message: "not seen since the cluster was restored from a backup",
    address: node.status?.address ?? "",
  });
  return { ...asWorker(node), status, sessionId: "", sessionManagerId: "" };
}

function managerOf(backup: Backup, options: RestoreOptions, number: number): Node {
  const { nodeId, description, availability, nowMs } = options;
  const at = timestampFromMs(nowMs);
  return create(NodeSchema, {
    id: nodeId,
    meta: { version: { index: backup.index }, createdAt: at, updatedAt: at },
    spec: {
      annotations: {},
      desiredRole: NodeRole.MANAGER,
      membership: NodeMembership.ACCEPTED,
      availability,
    },
    description,
    role: NodeRole.MANAGER,
    number,
  });
}

function smallestFree(taken: ReadonlySet<number>): number {
  let number = 1;
  while (taken.has(number)) number += 1;
  return number;
}

function wrap(node: Node): StoreObject {
  return create(StoreObjectSchema, { object: { case: "node", value: node } });
}
