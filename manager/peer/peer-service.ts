/** What other managers may ask of this one. That they are managers is seen to before. */
import { Fault } from "#proto/fault.ts";
import type { PeerService } from "#proto/gen/swarm/v1/manager_pb.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { CallContext, Handlers } from "#proto/grpc.ts";
import type { UsageBook } from "../autoscaler/usage-book.ts";
import type { LogBroker } from "../logbroker/log-broker.ts";
import type { NodeLiveness } from "../node-liveness/node-liveness.ts";

export interface PeerServiceModules {
  readonly authenticate: (context: CallContext) => Node;
  /** Of this manager, while it leads. */
  readonly nodeLiveness: () => NodeLiveness | undefined;
  readonly usageBook: () => Pick<UsageBook, "record"> | undefined;
  readonly logBroker: Pick<LogBroker, "relay">;
}

export function peerHandlers(modules: PeerServiceModules): Handlers<typeof PeerService> {
  const { authenticate, nodeLiveness, usageBook, logBroker } = modules;
  return {
    async reportBeats({ nodeIds, usages }, context) {
      const manager = authenticate(context);
      const liveness = nodeLiveness();
      if (liveness === undefined) throw new Fault("unavailable", "this manager does not lead");
      liveness.report(manager.id, nodeIds);
      usageBook()?.record(usages);
      return {};
    },
    relayLogs: (request, context) => logBroker.relay(request, context.signal),
  };
}
