import { Argument, type Command } from "commander";
import { Fault } from "#proto/fault.ts";
import { Reachability } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Context, ControlClient } from "../context.ts";
import { changeCluster } from "./change-cluster.ts";
import { joinInstructions } from "./join-command.ts";

type Role = "worker" | "manager";

interface Options {
  readonly quiet?: true;
  readonly rotate?: true;
}

export function define(command: Command, context: Context): void {
  command
    .addArgument(
      new Argument("<role>", "what the new host shall be").choices(["worker", "manager"]),
    )
    .option("-q, --quiet", "print only the token")
    .option("--rotate", "make a new token; the old one lets nobody in any more")
    .action(async (role: Role, { quiet, rotate }: Options) => {
      const control = await context.control();
      if (rotate) {
        const which = role === "worker" ? "rotateWorkerToken" : "rotateManagerToken";
        await changeCluster(control, (spec) => spec, { [which]: true });
        if (!quiet) context.print(`Successfully rotated ${role} join token.\n`);
      }
      const token = (await control.getJoinTokens({})).tokens?.[role];
      if (!token) throw new Fault("not-found", `The cluster has no join token for a ${role}`);
      if (quiet) context.print(token);
      else context.print(joinInstructions(role, token, await managerAddress(control)));
    });
}

/** Of the leader, or of a manager that can be reached. */
async function managerAddress(control: ControlClient): Promise<string> {
  const { nodes } = await control.listNodes({});
  const managers = nodes.flatMap(({ managerStatus }) => managerStatus ?? []);
  const best =
    managers.find(({ leader }) => leader) ??
    managers.find(({ reachability }) => reachability === Reachability.REACHABLE);
  if (best !== undefined) return best.address;
  throw new Fault("unavailable", "No manager can be reached now: try again in a moment");
}
