import type { Command } from "commander";
import type { Context } from "../context.ts";

/** Tasks are stopped first. */
const leaveDeadlineMs = 60_000;

interface Options {
  readonly force?: boolean;
}

export function define(command: Command, context: Context): void {
  command
    .option("-f, --force", "also a manager, also the last one: its cluster ends with it")
    .action(async ({ force = false }: Options) => {
      const swarmd = await context.node();
      await swarmd.leaveCluster(
        { force },
        { deadlineMs: leaveDeadlineMs, signal: context.io.signal },
      );
      context.print("Node left the swarm.");
    });
}
