/** Tells the managers that a host which they have just let in could not begin, so that they do not keep its node. */
import { Fault } from "#proto/fault.ts";
import { NodeCaService } from "#proto/gen/swarm/v1/node_pb.ts";
import { Connection } from "#proto/grpc.ts";
import type { TlsIdentity } from "#proto/manager-messages.ts";
import { TlsIdentityHolder } from "#proto/tls/tls-identity-holder.ts";

const answerMs = 5_000;

export interface WithdrawOptions {
  readonly tls: TlsIdentity;
  readonly clusterId: string;
  /** host:port, tried in order. */
  readonly managers: readonly string[];
}

/** Asks one manager after the other, until one has done it. */
export async function withdrawNode({ tls, clusterId, managers }: WithdrawOptions): Promise<void> {
  const identity = new TlsIdentityHolder(tls);
  let last: Fault | undefined;
  for (const manager of managers) {
    try {
      using connection = new Connection(manager, { tls: { kind: "mutual", identity, clusterId } });
      await connection.service(NodeCaService).withdrawNode({}, { deadlineMs: answerMs });
      return;
    } catch (thrown) {
      last = Fault.wrap(`manager ${manager}`, thrown);
    }
  }
  throw last ?? new Fault("unavailable", "no manager is known");
}
