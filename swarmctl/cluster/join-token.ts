import { Argument, type Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { Context } from "../context.ts";
import { joinInstructions } from "./join-command.ts";

type Role = "worker" | "manager";

export function define(command: Command, context: Context): void {
  command
    .addArgument(
      new Argument("<role>", "what the new host shall be").choices(["worker", "manager"]),
    )
    .option("-q, --quiet", "print only the token")
    .action(async (role: Role, options: { quiet?: true }) => {
      const control = await context.control();
      const { cluster } = await control.getCluster({});
      const token = cluster?.rootCa?.joinTokens?.[role];
      if (!token) throw new Fault("not-found", `The cluster has no join token for a ${role}`);
      if (options.quiet) context.print(token);
      else context.print(joinInstructions(role, token, await managerAddress(context)));
    });
}

async function managerAddress(context: Context): Promise<string> {
  const swarmd = await context.node();
  const info = await swarmd.getInfo({});
  const [address] = info.managers;
  if (address === undefined) {
    throw new Fault("unavailable", "This host knows no manager's address: is its manager running?");
  }
  return address;
}
