import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import {
  DriverSchema,
  type IpamConfig,
  IpamConfigSchema,
  IpamOptionsSchema,
  type NetworkSpec,
  NetworkSpecSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { Context } from "../context.ts";
import { flags, type Pair, pair, recordOf } from "../flags/parse-flag.ts";

interface Options {
  readonly driver: string;
  readonly subnet?: string[];
  readonly gateway?: string[];
  readonly ipRange?: string[];
  readonly internal?: true;
  readonly attachable?: true;
  readonly label?: Pair[];
}

export function define(command: Command, context: Context): void {
  command
    .argument("<name>", "the network's name")
    .option("-d, --driver <driver>", "how hosts are connected", "overlay")
    .option(
      "--subnet <cidr>",
      "its addresses (default: from the cluster's pool; repeat)",
      flags(String),
    )
    .option(
      "--gateway <address>",
      "the gateway of the subnet at the same place (repeat)",
      flags(String),
    )
    .option("--ip-range <cidr>", "part of the subnet that tasks get (repeat)", flags(String))
    .option("--internal", "no way out of the cluster")
    .option("--attachable", "open to containers that are no service's")
    .option("--label <key=value>", "label on the network (repeat)", flags(pair))
    .action(async (name: string, options: Options) => {
      checkSubnets(command, options);
      const control = await context.control();
      const { network } = await control.createNetwork({ spec: networkSpec(name, options) });
      if (network === undefined) throw new Fault("internal", "The manager returned no network");
      context.print(network.id);
    });
}

function checkSubnets(
  command: Command,
  { subnet = [], gateway = [], ipRange = [] }: Options,
): void {
  if (gateway.length > subnet.length)
    command.error("error: '--gateway' needs a '--subnet' of its own");
  if (ipRange.length > subnet.length) {
    command.error("error: '--ip-range' needs a '--subnet' of its own");
  }
}

function networkSpec(name: string, options: Options): NetworkSpec {
  const configs = ipamConfigs(options);
  return create(NetworkSpecSchema, {
    annotations: { name, labels: recordOf(options.label) },
    driverConfig: create(DriverSchema, { name: options.driver }),
    internal: options.internal ?? false,
    attachable: options.attachable ?? false,
    ...(configs.length > 0 && { ipam: create(IpamOptionsSchema, { configs }) }),
  });
}

function ipamConfigs({ subnet = [], gateway = [], ipRange = [] }: Options): IpamConfig[] {
  return subnet.map((cidr, index) =>
    create(IpamConfigSchema, {
      subnet: cidr,
      gateway: gateway[index] ?? "",
      range: ipRange[index] ?? "",
    }),
  );
}
