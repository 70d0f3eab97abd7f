/** What swarmctl says to the swarmd of its host, on the unix socket. */
import { serveEndpoint } from "#proto/endpoint.ts";
import { NodeService } from "#proto/gen/swarm/v1/node_pb.ts";
import { addService, type Handlers } from "#proto/grpc.ts";
import type { Clock } from "#proto/ports.ts";

/** Serves NodeService at `path`, readable by root alone, until disposed. */
export function serveNode(
  path: string,
  handlers: Handlers<typeof NodeService>,
  modules: { readonly clock: Clock },
): Promise<AsyncDisposable> {
  const addServices = (server: Parameters<typeof addService>[0]) =>
    addService(server, NodeService, handlers);
  return serveEndpoint(`unix:${path}`, { addServices, owner: "swarmd" }, modules);
}
