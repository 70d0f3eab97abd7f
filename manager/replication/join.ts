/** How a new manager comes into the group: asks one manager after the other, follows to the leader, and gets its place. */
import { Fault } from "#proto/fault.ts";
import { RaftService } from "#proto/gen/swarm/v1/manager_pb.ts";
import type { Connection } from "#proto/grpc.ts";
import type { Clock, Log } from "#proto/ports.ts";
import type { Membership, ServerId } from "../raft/contract.ts";
import { decodeMembership, serverId } from "./codec.ts";
import { isNotLeading, leaderAddressOf } from "./refusals.ts";

const deadlineMs = 60_000;
/** The leader dials back, and commits. */
const callMs = 15_000;
const pauseMs = 500;

export interface JoinOptions {
  /** HOST:PORT of managers; one that answers is enough. */
  readonly managers: readonly string[];
  /** Where the others reach this manager, which serves there already (`raftHandlers` without a log). */
  readonly address: string;
}

export interface JoinModules {
  /** Showing this manager's certificate. */
  readonly connect: (address: string) => Connection;
  readonly clock: Clock;
  readonly log: Log;
}

/** What `createStorage` needs. */
export interface Joined {
  readonly group: string;
  readonly id: ServerId;
  readonly membership: Membership;
}

/** Safe to repeat: as long as the answer was not used, the same place is given. */
export async function joinGroup(options: JoinOptions, modules: JoinModules): Promise<Joined> {
  const { clock, log } = modules;
  const endMs = clock.monotonic() + deadlineMs;
  for (;;) {
    const failures: string[] = [];
    const queue = [...options.managers];
    const asked = new Set<string>();
    for (let address = queue.shift(); address !== undefined; address = queue.shift()) {
      if (asked.has(address)) continue;
      asked.add(address);
      try {
        return await ask(address, options.address, modules);
      } catch (thrown) {
        const fault = Fault.from(thrown);
        const leader = leaderAddressOf(fault);
        if (leader !== undefined) queue.unshift(leader);
        else if (!fault.retryable && !isNotLeading(fault)) {
          throw Fault.wrap(`Cannot join the managers at ${address}`, fault);
        }
        failures.push(`${address}: ${fault.message}`);
      }
    }
    const problem = failures.join("; ");
    if (clock.monotonic() >= endMs) {
      throw new Fault("unavailable", `Cannot join the managers: ${problem}`);
    }
    log.info("No manager took this one in yet; it asks again", { problem });
    await clock.sleep(pauseMs);
  }
}

async function ask(manager: string, address: string, { connect }: JoinModules): Promise<Joined> {
  using connection = connect(manager);
  const options = { deadlineMs: callMs };
  const answer = await connection.service(RaftService).joinRaft({ address }, options);
  const { group, id, membership } = answer;
  return { group, id: serverId(id), membership: decodeMembership(membership) };
}
