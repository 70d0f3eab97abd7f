import type { LogBrokerService } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { CallContext, Handlers } from "#proto/grpc.ts";
import type { LogBroker } from "./log-broker.ts";

export interface LogBrokerServiceModules {
  readonly logBroker: LogBroker;
  readonly authenticate: (context: CallContext) => Node;
}

export function logBrokerHandlers({
  logBroker,
  authenticate,
}: LogBrokerServiceModules): Handlers<typeof LogBrokerService> {
  return {
    async publishLogs(requests, context) {
      await logBroker.publish(authenticate(context), requests, context.signal);
      return {};
    },
  };
}
