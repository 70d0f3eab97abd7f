import type { Command } from "commander";
import { NodeAvailability, NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Context } from "../context.ts";
import { flag } from "../flags/parse-flag.ts";
import { availability } from "../node/words.ts";
import { addHostFlags, type HostFlags, hostAddresses } from "./host-flags.ts";

/** Several managers may be tried, and a new manager has to catch up. */
const joinDeadlineMs = 240_000;

interface Options extends HostFlags {
  readonly token: string;
  readonly availability?: NodeAvailability;
}

export function define(command: Command, context: Context): void {
  command
    .argument("<address...>", "managers of the cluster, host[:port], tried in this order")
    .requiredOption("--token <token>", 'from "swarmctl cluster join-token" on a manager');
  addHostFlags(command)
    .option("--availability <word>", "active (default), pause or drain", flag(availability))
    .action(async (managers: string[], options: Options) => {
      const swarmd = await context.node();
      const reply = await swarmd.joinCluster(
        {
          managers,
          token: options.token,
          ...hostAddresses(options),
          availability: options.availability ?? NodeAvailability.ACTIVE,
        },
        { deadlineMs: joinDeadlineMs, signal: context.io.signal },
      );
      const role = reply.role === NodeRole.MANAGER ? "manager" : "worker";
      context.print(`This node (${reply.nodeId}) joined a swarm as a ${role}.`);
    });
}
