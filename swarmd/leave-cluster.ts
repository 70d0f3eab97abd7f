/** Why a manager does not leave without --force, with the numbers that say what it would cost. */
import { Fault } from "#proto/fault.ts";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import { Reachability } from "#proto/gen/swarm/v1/types_pb.ts";
import { Connection } from "#proto/grpc.ts";
import type { Config } from "./config.ts";
import { managerSocket } from "./manager-files.ts";

const answerMs = 5_000;

export interface ManagerCount {
  readonly all: number;
  readonly reachable: number;
}

export async function refusalToLeave(config: Config, nodeId: string): Promise<Fault> {
  const count = await countManagers(config, nodeId).catch(() => undefined);
  return new Fault("failed-precondition", wordsOf(count));
}

/** `count`: of all managers, this one among them; undefined: this one could not tell. */
export function wordsOf(count: ManagerCount | undefined): string {
  const begin = "this node is a manager. ";
  const demote = 'Demote it first with "swarmctl node demote", or use --force.';
  if (count === undefined) {
    return `${begin}Leaving now may cost the cluster its quorum. ${demote}`;
  }
  const { all, reachable } = count;
  if (all <= 1) {
    return `${begin}It is the last one: leaving erases the state of the whole cluster. Use --force to do so.`;
  }
  const left = reachable - 1;
  const quorum = Math.floor(all / 2) + 1;
  if (left >= quorum) return `${begin}${left} of ${all} managers would go on without it. ${demote}`;
  return `${begin}Without it ${left} of ${all} managers are left, and ${quorum} are needed: the cluster could not be changed until it is made anew with --force-new-cluster. Add managers or demote this one first, or use --force.`;
}

async function countManagers(config: Config, nodeId: string): Promise<ManagerCount> {
  using connection = new Connection(managerSocket(config));
  const { nodes } = await connection
    .service(ControlService)
    .listNodes({}, { deadlineMs: answerMs });
  const managers = nodes.filter(({ managerStatus }) => managerStatus !== undefined);
  const reachable = managers.filter(
    ({ id, managerStatus }) =>
      id === nodeId || managerStatus?.reachability === Reachability.REACHABLE,
  );
  return { all: managers.length, reachable: reachable.length };
}
