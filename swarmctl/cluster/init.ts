import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import type { ClusterSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { Context } from "../context.ts";
import { duration, flag, flags, integer, text, wholeNumber } from "../flags/parse-flag.ts";
import { joinInstructions } from "./join-command.ts";

/** A manager starts and elects itself meanwhile. */
const initDeadlineMs = 60_000;

interface Options {
  readonly advertiseAddr?: string;
  readonly listenAddr?: string;
  readonly dataPathAddr?: string;
  readonly defaultAddrPool?: string[];
  readonly defaultAddrPoolMaskLength?: number;
  readonly taskHistoryLimit?: bigint;
  readonly dispatcherHeartbeat?: Duration;
}

export function define(command: Command, context: Context): void {
  command
    .option("--advertise-addr <addr>", "host[:port] at which other nodes reach this one")
    .option("--listen-addr <addr>", "host[:port] to listen on (default 0.0.0.0:2377)")
    .option(
      "--data-path-addr <addr>",
      "address for traffic between containers (default: advertised)",
    )
    .option("--default-addr-pool <cidr>", "where networks get subnets from (repeat)", flags(text))
    .option(
      "--default-addr-pool-mask-length <bits>",
      "prefix length of those subnets",
      flag(maskLength),
    )
    .option("--task-history-limit <n>", "ended tasks kept per slot (negative: all)", flag(integer))
    .option("--dispatcher-heartbeat <duration>", "how often nodes report", flag(duration))
    .action(async (options: Options) => {
      const swarmd = await context.node();
      const reply = await swarmd.initCluster(
        {
          listenAddress: options.listenAddr ?? "",
          advertiseAddress: options.advertiseAddr ?? "",
          dataPathAddress: options.dataPathAddr ?? "",
          spec: clusterSpec(options),
        },
        { deadlineMs: initDeadlineMs, signal: context.io.signal },
      );
      context.print(`Swarm initialized: current node (${reply.nodeId}) is now a manager.\n`);
      context.print(joinInstructions("worker", reply.workerJoinToken, reply.managerAddress));
      context.print(
        'To add a manager to this swarm, run "swarmctl cluster join-token manager" and follow the instructions.',
      );
    });
}

function clusterSpec(options: Options): MessageInitShape<typeof ClusterSpecSchema> {
  const { taskHistoryLimit, dispatcherHeartbeat } = options;
  return {
    annotations: { name: "default" },
    ...(taskHistoryLimit !== undefined && {
      orchestration: { taskHistoryRetentionLimit: taskHistoryLimit },
    }),
    ...(dispatcherHeartbeat !== undefined && {
      dispatcher: { heartbeatPeriod: dispatcherHeartbeat },
    }),
    network: {
      defaultAddressPools: options.defaultAddrPool ?? [],
      subnetSize: options.defaultAddrPoolMaskLength ?? 0,
    },
  };
}

function maskLength(value: string): number {
  return Number(wholeNumber(value));
}
