/** The control API on stores in memory, called without a wire: of a manager alone, or of several in a group. */
import { create, type Message } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeMembership, NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import type { CallContext, Client } from "#proto/grpc.ts";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { ImageResolver } from "../../image-resolver.ts";
import { LogBroker } from "../../logbroker/log-broker.ts";
import { openTestStore, testNode, type TestStore } from "../../testing/fixtures.ts";
import { MemoryGroup, type Seat } from "../../testing/memory-log.ts";
import { controlHandlers } from "../control-service.ts";
import type { ControlHandlers } from "../modules.ts";

export interface ControlGround extends TestStore {
  readonly api: ControlHandlers;
  readonly context: CallContext;
  readonly controller: AbortController;
  /** Calls the handlers with `context`. */
  readonly client: Client<typeof ControlService>;
  /** The same, taking the manager's state as it is. */
  readonly staleClient: Client<typeof ControlService>;
}

export function openControl(seat?: Seat): ControlGround {
  const test = openTestStore(systemClock, seat);
  const ports = { clock: systemClock, random: systemRandom, log: silentLog };
  const manager = () => {
    throw new Fault("unavailable", "the test has one manager");
  };
  const logBroker = new LogBroker({ nodeId: "node1" }, { ...ports, store: test.store, manager });
  const controller = new AbortController();
  const context: CallContext = {
    signal: controller.signal,
    metadata: new Map(),
    peer: "unknown",
    caller: { kind: "local" },
  };
  const images = new ImageResolver({ insecureRegistries: [] }, ports);
  const { store, log: replication } = test;
  const api = controlHandlers({ ...ports, store, replication, logBroker, images });
  const client = clientOf(api, context);
  const metadata = new Map([["swarm-read", "stale"]]);
  return {
    ...test,
    api,
    context,
    controller,
    client,
    staleClient: clientOf(api, { ...context, metadata }),
  };
}

/** Managers of one group, of which the first leads, each with its node: "node1" is the first's. */
export async function openManagers(count: number): Promise<ControlGround[]> {
  const group = new MemoryGroup();
  const grounds = Array.from({ length: count }, (_, index) =>
    openControl({ group, nodeId: `node${index + 1}`, address: `192.0.2.${index + 1}:2377` }),
  );
  const [first] = grounds;
  if (first === undefined) return [];
  group.lead(first.log);
  await first.put("node", ...grounds.map((_, index) => managerNode(index + 1)));
  for (const { log } of grounds) await log.barrier();
  return grounds;
}

export function managerNode(number: number): Node {
  return testNode(number, {
    role: NodeRole.MANAGER,
    spec: { desiredRole: NodeRole.MANAGER, membership: NodeMembership.ACCEPTED },
    managerStatus: { raftId: BigInt(number), address: `192.0.2.${number}:2377` },
  });
}

export function workerNode(number: number): Node {
  return testNode(number, { spec: { membership: NodeMembership.ACCEPTED } });
}

type Init = Record<string, unknown>;

type AnyHandler = (request: Message, context: CallContext) => Promise<Init> & AsyncIterable<Init>;

function clientOf(api: ControlHandlers, context: CallContext): Client<typeof ControlService> {
  const methods = ControlService.methods.map((method) => {
    const handler = api[method.localName as keyof ControlHandlers] as unknown as AnyHandler;
    const unary = async (request: Init) =>
      create(method.output, await handler(create(method.input, request), context));
    const stream = async function* (request: Init) {
      const answers = handler(create(method.input, request), context);
      for await (const answer of answers) yield create(method.output, answer);
    };
    return [method.localName, method.methodKind === "unary" ? unary : stream];
  });
  return Object.fromEntries(methods) as Client<typeof ControlService>;
}
