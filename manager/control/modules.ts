/** What the control API's handlers stand on. */
import type { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import type { Handlers } from "#proto/grpc.ts";
import type { Ports } from "#proto/ports.ts";
import type { ImageResolver } from "../image-resolver.ts";
import type { LogBroker } from "../logbroker/log-broker.ts";
import type { Replication } from "../replication/replication.ts";
import type { Store } from "../store/store.ts";

export interface ControlModules extends Ports {
  readonly store: Store;
  readonly replication: Replication;
  readonly logBroker: LogBroker;
  readonly images: Pick<ImageResolver, "resolve">;
}

export type ControlHandlers = Handlers<typeof ControlService>;
