/** Whether the address that a manager tells others leads to it: found out when it begins, not when others count on it. */
import { Fault } from "#proto/fault.ts";
import { RaftService } from "#proto/gen/swarm/v1/manager_pb.ts";
import type { Connection } from "#proto/grpc.ts";

/** The first call of a process that has just begun takes seconds on a slow host. */
const answerMs = 15_000;

/** `connect` trusts managers of this cluster alone, and so far this is the only one. */
export async function requireOwnAddress(
  address: string,
  connect: (address: string) => Connection,
): Promise<void> {
  using connection = connect(address);
  try {
    await connection.service(RaftService).listMembers({}, { deadlineMs: answerMs });
  } catch (thrown) {
    const { message } = Fault.from(thrown);
    throw new Fault(
      "failed-precondition",
      `this manager is not reached at ${address}, which it would tell others: ${message}; choose an address that leads here (--advertise-addr), and listen on it (--listen-addr)`,
      { cause: thrown },
    );
  }
}
