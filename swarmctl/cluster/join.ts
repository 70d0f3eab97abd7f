import type { Command } from "commander";
import { NodeAvailability, NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Context } from "../context.ts";
import { flag } from "../flags/parse-flag.ts";
import { availability } from "../node/words.ts";

/** Several managers may be tried, and a new manager has to catch up. */
const joinDeadlineMs = 60_000;

interface Options {
  readonly token: string;
  readonly advertiseAddr?: string;
  readonly listenAddr?: string;
  readonly dataPathAddr?: string;
  readonly availability?: NodeAvailability;
}

export function define(command: Command, context: Context): void {
  command
    .argument("<address...>", "managers of the cluster, host[:port], tried in this order")
    .requiredOption("--token <token>", 'from "swarmctl cluster join-token" on a manager')
    .option("--advertise-addr <addr>", "host[:port] at which other nodes reach this one")
    .option("--listen-addr <addr>", "host[:port] that a manager listens on (default 0.0.0.0:2377)")
    .option(
      "--data-path-addr <addr>",
      "address for traffic between containers (default: advertised)",
    )
    .option("--availability <word>", "active, pause or drain", flag(availability))
    .action(async (managers: string[], options: Options) => {
      const swarmd = await context.node();
      const reply = await swarmd.joinCluster(
        {
          managers,
          token: options.token,
          listenAddress: options.listenAddr ?? "",
          advertiseAddress: options.advertiseAddr ?? "",
          dataPathAddress: options.dataPathAddr ?? "",
          availability: options.availability ?? NodeAvailability.ACTIVE,
        },
        { deadlineMs: joinDeadlineMs, signal: context.io.signal },
      );
      const role = reply.role === NodeRole.MANAGER ? "manager" : "worker";
      context.print(`This node (${reply.nodeId}) joined a swarm as a ${role}.`);
    });
}
