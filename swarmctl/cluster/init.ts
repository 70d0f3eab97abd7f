import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import {
  type ClusterSpec,
  ClusterSpecSchema,
  NetworkConfigSchema,
} from "#proto/gen/swarm/v1/specs_pb.ts";
import { AnnotationsSchema, NodeAvailability } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Context } from "../context.ts";
import { flag, flags, text, wholeNumber } from "../flags/parse-flag.ts";
import { availability } from "../node/words.ts";
import { addHostFlags, type HostFlags, hostAddresses } from "./host-flags.ts";
import { joinInstructions } from "./join-command.ts";
import { addSpecFlags, type SpecFlags, withSpecFlags } from "./spec-flags.ts";
import { unlockInstructions } from "./unlock-instructions.ts";

/** A manager starts and elects itself meanwhile. */
const initDeadlineMs = 60_000;

interface Options extends SpecFlags, HostFlags {
  readonly defaultAddrPool?: string[];
  readonly defaultAddrPoolMaskLength?: number;
  readonly availability?: NodeAvailability;
  readonly forceNewCluster?: true;
}

export function define(command: Command, context: Context): void {
  addHostFlags(command)
    .option("--default-addr-pool <cidr>", "where networks get subnets from (repeat)", flags(text))
    .option(
      "--default-addr-pool-mask-length <bits>",
      "prefix length of those subnets",
      flag(maskLength),
    )
    .option("--availability <word>", "of this host: active, pause or drain", flag(availability))
    .option(
      "--force-new-cluster",
      "go on alone with what this manager knows, without all other managers",
    );
  addSpecFlags(command).action(async (options: Options) => {
    const swarmd = await context.node();
    const reply = await swarmd.initCluster(
      {
        ...hostAddresses(options),
        spec: withSpecFlags(clusterSpec(options), options),
        availability: options.availability ?? NodeAvailability.ACTIVE,
        forceNewCluster: options.forceNewCluster ?? false,
      },
      { deadlineMs: initDeadlineMs, signal: context.io.signal },
    );
    context.print(`Swarm initialized: current node (${reply.nodeId}) is now a manager.\n`);
    context.print(joinInstructions("worker", reply.workerJoinToken, reply.managerAddress));
    context.print(
      'To add a manager to this swarm, run "swarmctl cluster join-token manager" and follow the instructions.',
    );
    if (reply.managerAddress.startsWith("127.")) {
      context.io.stderr.write(
        `No other host reaches this one at ${reply.managerAddress}, so none can join: for that, leave and choose --advertise-addr anew.\n`,
      );
    }
    if (reply.unlockKey !== "") context.print(`\n${unlockInstructions(reply.unlockKey)}`);
  });
}

function clusterSpec(options: Options): ClusterSpec {
  return create(ClusterSpecSchema, {
    annotations: create(AnnotationsSchema, { name: "default" }),
    network: create(NetworkConfigSchema, {
      defaultAddressPools: options.defaultAddrPool ?? [],
      subnetSize: options.defaultAddrPoolMaskLength ?? 0,
    }),
  });
}

function maskLength(value: string): number {
  return Number(wholeNumber(value));
}
