/**
 * Changes as they stand in a message, in bytes. What many nodes get, each byte the same, is encoded once: a thousand nodes
 * of one network are sent ten thousand endpoints each. Objects never change in place, so bytes live as long as their object.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { packEndpoint } from "#proto/endpoint-wire.ts";
import {
  type Assignment,
  AssignmentChange_Action as ChangeAction,
  AssignmentChangeSchema,
  type AssignmentsResponse,
  AssignmentsResponseSchema,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { assignment, type ItemKey, removalOf } from "./items.ts";

export class ChangeEncoder {
  readonly #known = new WeakMap<object, Uint8Array>();

  update(item: Assignment): Uint8Array {
    const { value } = item.item;
    if (value === undefined || !isShared(item)) return encoded(ChangeAction.UPDATE, item);
    const known = this.#known.get(value);
    if (known !== undefined) return known;
    const bytes = encoded(ChangeAction.UPDATE, packed(item));
    this.#known.set(value, bytes);
    return bytes;
  }

  removal(key: ItemKey): Uint8Array {
    return encoded(ChangeAction.REMOVE, removalOf(key));
  }
}

/** The message holds them as if its changes had been read from bytes and not been understood: it is written as it came. */
export function putChanges(message: AssignmentsResponse, changes: readonly Uint8Array[]): void {
  const no = AssignmentsResponseSchema.field.changes.number;
  const wireType = WireType.LengthDelimited;
  message.$unknown = changes.map((data) => ({ no, wireType, data }));
}

/** The rest is one node's own. */
function isShared({ item }: Assignment): boolean {
  return ["endpoint", "peer", "service", "network"].includes(item.case ?? "");
}

function packed(item: Assignment): Assignment {
  if (item.item.case !== "endpoint") return item;
  return assignment({ case: "endpoint", value: packEndpoint(item.item.value) });
}

/** With its length before it. */
function encoded(action: ChangeAction, item: Assignment): Uint8Array<ArrayBuffer> {
  const change = create(AssignmentChangeSchema, { action });
  change.assignment = item;
  return new BinaryWriter().bytes(toBinary(AssignmentChangeSchema, change)).finish();
}
