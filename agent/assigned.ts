/**
 * What the managers want of this node, folded from the assignment stream: its tasks, the secrets and configs that
 * these read, the networks that they are on, all services and endpoints of those networks, where published ports lead, the
 * other nodes, and the wishes for logs.
 * Pure: a message in, the next state out.
 */
import { type DescMessage, equals, type MessageShape } from "@bufbuild/protobuf";
import { unpackEndpoint } from "#proto/endpoint-wire.ts";
import { Fault } from "#proto/fault.ts";
import {
  type AssignmentChange,
  AssignmentChange_Action as Action,
  type AssignmentsResponse,
  AssignmentsResponse_Type as Type,
  type LogSubscription,
  type NetworkEndpoint,
  NetworkEndpointSchema,
  type Peer,
  PeerSchema,
  type ServiceEndpoint,
  ServiceEndpointSchema,
} from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Config, Secret, Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type Network, NetworkSchema } from "#proto/gen/swarm/v1/types_pb.ts";

export interface Assigned {
  /** Names the message that led here: the next one must apply to it. */
  readonly sequence: string;
  /** False while parts of a set are still to come: it is folded on, but nobody may go by it. */
  readonly complete: boolean;
  readonly tasks: ReadonlyMap<string, Task>;
  readonly networks: ReadonlyMap<string, Network>;
  readonly endpoints: ReadonlyMap<string, NetworkEndpoint>;
  readonly peers: ReadonlyMap<string, Peer>;
  readonly services: ReadonlyMap<string, ServiceEndpoint>;
  readonly logSubscriptions: ReadonlyMap<string, LogSubscription>;
  /** What tasks read as files. In memory alone. */
  readonly secrets: ReadonlyMap<string, Secret>;
  readonly configs: ReadonlyMap<string, Config>;
  /** As the session said it, whatever the set: the UDP port of the VXLAN devices. 0: the default. */
  readonly dataPathPort: number;
}

export const nothingAssigned: Assigned = {
  sequence: "",
  complete: true,
  tasks: new Map(),
  networks: new Map(),
  endpoints: new Map(),
  peers: new Map(),
  services: new Map(),
  logSubscriptions: new Map(),
  secrets: new Map(),
  configs: new Map(),
  dataPathPort: 0,
};

/**
 * A Fault "conflict" on a gap in the stream: the session must be opened anew. What is as in `known`, the last complete
 * state, is the same object: a new session brings all endpoints again, and whoever goes by them looks into none twice.
 */
export function applyAssignments(
  before: Assigned,
  message: AssignmentsResponse,
  known: Assigned = nothingAssigned,
): Assigned {
  const whole = message.type === Type.COMPLETE;
  const anew = whole && message.appliesTo === "";
  if (!anew && message.appliesTo !== before.sequence) {
    throw new Fault(
      "conflict",
      `an assignment message was lost: it applies to "${message.appliesTo}", this node is at "${before.sequence}"`,
    );
  }
  // Only a further part may follow on a part, and nothing else is one.
  if (!anew && whole === before.complete) {
    throw new Fault(
      "conflict",
      "an assignment message came in the middle of a set, or a part alone",
    );
  }
  const from = anew ? nothingAssigned : before;
  const after = {
    sequence: message.resultsIn,
    complete: !message.more,
    tasks: new Map(from.tasks),
    networks: new Map(from.networks),
    endpoints: new Map(from.endpoints),
    peers: new Map(from.peers),
    services: new Map(from.services),
    logSubscriptions: new Map(from.logSubscriptions),
    secrets: new Map(from.secrets),
    configs: new Map(from.configs),
    dataPathPort: before.dataPathPort,
  };
  for (const change of message.changes) applyChange(after, change, known);
  return after;
}

interface Mutable {
  readonly tasks: Map<string, Task>;
  readonly networks: Map<string, Network>;
  readonly endpoints: Map<string, NetworkEndpoint>;
  readonly peers: Map<string, Peer>;
  readonly services: Map<string, ServiceEndpoint>;
  readonly logSubscriptions: Map<string, LogSubscription>;
  readonly secrets: Map<string, Secret>;
  readonly configs: Map<string, Config>;
}

function applyChange(state: Mutable, change: AssignmentChange, known: Assigned): void {
  const item = change.assignment?.item;
  switch (item?.case) {
    case "task":
      return put(state.tasks, item.value.id, item.value, change.action);
    case "network": {
      const value = same(NetworkSchema, known.networks.get(item.value.id), item.value);
      return put(state.networks, value.id, value, change.action);
    }
    case "endpoint": {
      const unpacked = unpackEndpoint(item.value);
      const value = same(NetworkEndpointSchema, known.endpoints.get(unpacked.id), unpacked);
      return put(state.endpoints, value.id, value, change.action);
    }
    case "peer": {
      const value = same(PeerSchema, known.peers.get(item.value.nodeId), item.value);
      return put(state.peers, value.nodeId, value, change.action);
    }
    case "service": {
      const value = same(ServiceEndpointSchema, known.services.get(item.value.id), item.value);
      return put(state.services, value.id, value, change.action);
    }
    case "logSubscription":
      return put(state.logSubscriptions, item.value.id, item.value, change.action);
    case "secret":
      return put(state.secrets, item.value.id, item.value, change.action);
    case "config":
      return put(state.configs, item.value.id, item.value, change.action);
    case undefined:
      // From a newer manager: tasks that need it say so themselves.
      return;
  }
}

/** The known one, where it says the same. */
function same<Desc extends DescMessage>(
  schema: Desc,
  known: MessageShape<Desc> | undefined,
  item: MessageShape<Desc>,
): MessageShape<Desc> {
  return known !== undefined && equals(schema, known, item) ? known : item;
}

function put<T>(items: Map<string, T>, id: string, item: T, action: Action): void {
  if (action === Action.REMOVE) items.delete(id);
  else items.set(id, item);
}
