import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import {
  type ClusterSpec,
  ClusterSpecSchema,
  NetworkConfigSchema,
} from "#proto/gen/swarm/v1/specs_pb.ts";
import { AnnotationsSchema, NodeAvailability } from "#proto/gen/swarm/v1/types_pb.ts";
import { Fault } from "#proto/fault.ts";
import type { Context } from "../context.ts";
import { externalCaFlag } from "./external-ca-flag.ts";
import { flag, flags, text } from "../flags/parse-flag.ts";
import { availability } from "../node/words.ts";
import { addHostFlags, type HostFlags, hostAddresses } from "./host-flags.ts";
import { joinInstructions } from "./join-command.ts";
import { addSpecFlags, type SpecFlags, withSpecFlags } from "./spec-flags.ts";
import { unlockInstructions } from "./unlock-instructions.ts";

/** A manager starts and elects itself meanwhile. */
const initDeadlineMs = 240_000;

interface Options extends SpecFlags, HostFlags {
  readonly defaultAddrPool?: string[];
  readonly defaultAddrPoolMaskLength?: number;
  readonly dataPathPort?: number;
  readonly availability?: NodeAvailability;
  readonly forceNewCluster?: true;
}

export function define(command: Command, context: Context): void {
  addHostFlags(command)
    .addOption(externalCaFlag())
    .option(
      "--default-addr-pool <cidr>",
      "where networks get subnets from, of IPv4 or IPv6 (default 10.0.0.0/8 and a pool of the cluster's own; repeat)",
      flags(text),
    )
    .option(
      "--default-addr-pool-mask-length <bits>",
      "prefix length of the IPv4 subnets (default 24)",
      flag(smallNumber),
    )
    .option(
      "--data-path-port <port>",
      "UDP port of the traffic between containers, on all hosts (default 4789)",
      flag(smallNumber),
    )
    .option(
      "--availability <word>",
      "of this host: active (default), pause or drain",
      flag(availability),
    )
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
      dataPathPort: options.dataPathPort ?? 0,
    }),
  });
}

/** Which of these hold is the manager's to say, in words; a field of 32 bits takes them all. */
function smallNumber(value: string): number {
  if (/^\d{1,9}$/.test(value)) return Number(value);
  throw new Fault("invalid-argument", "Write a whole number of 0 or more");
}
