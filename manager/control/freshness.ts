/**
 * How new the state is that a call works on. A call that reads sees everything that was acknowledged before it, at
 * whichever manager, unless it says that an older state will do. A call that writes is held to the newest state by the log
 * itself: it waits only where this manager does not lead, so that nothing is refused by what is outdated here.
 */
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import type { CallContext } from "#proto/grpc.ts";
import type { Replication } from "../replication/replication.ts";
import type { ControlHandlers } from "./modules.ts";

/** With the value "stale", a call that reads takes this manager's state as it is. */
const readHeader = "swarm-read";

const access: { readonly [M in keyof ControlHandlers]: "read" | "write" } = {
  getCluster: "read",
  updateCluster: "write",
  getJoinTokens: "read",
  getUnlockKey: "read",
  issueUserCertificate: "write",
  backupCluster: "read",
  getNode: "read",
  listNodes: "read",
  updateNode: "write",
  removeNode: "write",
  awaitNode: "write",
  createService: "write",
  getService: "read",
  listServices: "read",
  updateService: "write",
  removeService: "write",
  promoteService: "write",
  runService: "write",
  rebalanceService: "write",
  getTask: "read",
  listTasks: "read",
  createNetwork: "write",
  getNetwork: "read",
  listNetworks: "read",
  removeNetwork: "write",
  createConfig: "write",
  getConfig: "read",
  listConfigs: "read",
  updateConfig: "write",
  removeConfig: "write",
  rotateConfig: "write",
  createSecret: "write",
  getSecret: "read",
  listSecrets: "read",
  updateSecret: "write",
  removeSecret: "write",
  rotateSecret: "write",
  subscribeLogs: "read",
  watch: "read",
};

/** What the method says it is, one of the two. */
type AnyHandler = (
  request: unknown,
  context: CallContext,
) => Promise<unknown> & AsyncIterable<unknown>;

export function takesStale({ metadata }: Pick<CallContext, "metadata">): boolean {
  return metadata.get(readHeader) === "stale";
}

/** The handlers, each called when the state is as new as its call needs. */
export function behindBarrier(
  handlers: ControlHandlers,
  replication: Replication,
): ControlHandlers {
  const wrapped = ControlService.methods.map(({ localName, methodKind }) => {
    const name = localName as keyof ControlHandlers;
    const ready = async (context: CallContext) => {
      const needed = access[name] === "read" ? !takesStale(context) : !replication.leading;
      if (!needed) return;
      await replication.barrier();
      // Who went away meanwhile wants nothing done any more.
      context.signal.throwIfAborted();
    };
    // Request and response stay what the method says; only the table of all methods has no common type.
    const handler = handlers[name] as unknown as AnyHandler;
    const waiting =
      methodKind === "unary"
        ? async (request: unknown, context: CallContext) => {
            await ready(context);
            return await handler(request, context);
          }
        : async function* (request: unknown, context: CallContext) {
            await ready(context);
            yield* handler(request, context);
          };
    return [name, waiting];
  });
  return Object.fromEntries(wrapped) as ControlHandlers;
}
