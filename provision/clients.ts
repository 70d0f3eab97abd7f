/** gRPC to the sockets of another host. */
import { type Client, Connection } from "#proto/grpc.ts";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import { NodeService } from "#proto/gen/swarm/v1/node_pb.ts";
import type { Remote } from "./remote.ts";

export type ControlClient = Client<typeof ControlService>;
export type NodeClient = Client<typeof NodeService>;

/** Managers wait 20 s for a leader before they say what is wrong; the way to them takes its time, too. */
const controlDeadlineMs = 30_000;

/** A cluster begins, or a manager catches up, meanwhile. */
const nodeDeadlineMs = 240_000;

export interface Link<C> extends Disposable {
  readonly client: C;
}

/** To the manager of that host. */
export async function controlOf(remote: Remote): Promise<Link<ControlClient>> {
  const connection = await connect(remote, "manager", controlDeadlineMs);
  return {
    client: connection.service(ControlService),
    [Symbol.dispose]: () => connection[Symbol.dispose](),
  };
}

/** To the swarmd of that host. */
export async function swarmdOf(remote: Remote): Promise<Link<NodeClient>> {
  const connection = await connect(remote, "swarmd", nodeDeadlineMs);
  return {
    client: connection.service(NodeService),
    [Symbol.dispose]: () => connection[Symbol.dispose](),
  };
}

async function connect(
  remote: Remote,
  which: "manager" | "swarmd",
  deadlineMs: number,
): Promise<Connection> {
  // Says why the host cannot be reached, which a connection that ends does not.
  await remote.run(["true"]);
  return new Connection(`unix:${await remote.socket(which)}`, { deadlineMs });
}
