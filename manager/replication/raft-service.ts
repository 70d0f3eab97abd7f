/**
 * What managers ask of each other about their log. A caller is known by its certificate; the log sees to it that nobody
 * speaks for another's server, and that nothing comes in from another life of the log or from a removed server.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type {
  JoinRaftResponseSchema,
  MemberStatus,
  ProposeRequest,
  RaftService,
  SendMessagesRequest,
} from "#proto/gen/swarm/v1/manager_pb.ts";
import type { CallContext, Handlers } from "#proto/grpc.ts";

/** A manager's log as other managers see it. `nodeId`: the caller's. */
export interface ServedLog {
  /** Aborted when the log ends. */
  readonly closing: AbortSignal;
  receive(nodeId: string, request: SendMessagesRequest): void;
  takeProposals(nodeId: string, request: ProposeRequest): void;
  readIndex(group: string): Promise<number>;
  statuses(): readonly MemberStatus[];
  join(nodeId: string, address: string): Promise<MessageInitShape<typeof JoinRaftResponseSchema>>;
}

/**
 * `log` is undefined while this manager is joining: then it only shows that it can be reached, and to managers alone, for
 * all that it can tell without a store of its own.
 */
export function raftHandlers(log: () => ServedLog | undefined): Handlers<typeof RaftService> {
  const ready = () => {
    const served = log();
    if (served === undefined) throw new Fault("unavailable", "this manager is still joining");
    return served;
  };
  return {
    async sendMessages(requests, context) {
      const nodeId = managerOf(context);
      const served = ready();
      for await (const request of untilAborted(requests, served.closing)) {
        served.receive(nodeId, request);
      }
      return {};
    },
    async propose(request, context) {
      const nodeId = managerOf(context);
      ready().takeProposals(nodeId, request);
      return {};
    },
    async readIndex({ group }, context) {
      managerOf(context);
      return { index: BigInt(await ready().readIndex(group)) };
    },
    async listMembers(_, context) {
      managerOf(context);
      return { members: [...(log()?.statuses() ?? [])] };
    },
    async joinRaft({ address }, context) {
      const nodeId = managerOf(context);
      return ready().join(nodeId, address);
    },
  };
}

/** The node that calls, which must be a manager. */
function managerOf({ caller }: CallContext): string {
  if (caller.kind === "node" && caller.role === "manager") return caller.nodeId;
  throw new Fault("permission-denied", "only managers take part in the managers' log");
}

/** What comes until the signal is aborted, also while nothing comes. */
async function* untilAborted<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncIterable<T> {
  const iterator = source[Symbol.asyncIterator]();
  let stop = (_end: undefined): void => undefined;
  const onAbort = () => stop(undefined);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    while (!signal.aborted) {
      // A race with one promise for all rounds would keep something of each until the call ends.
      const next = await new Promise<IteratorResult<T> | undefined>((resolve, reject) => {
        stop = resolve;
        iterator.next().then(resolve, reject);
      });
      if (next === undefined || next.done === true) return;
      yield next.value;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
