import { create } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import {
  DriverSchema,
  IpamOptionsSchema,
  type NetworkSpec,
  NetworkSpecSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { isEncrypted } from "#proto/network-options.ts";
import type { Context } from "../context.ts";
import { flag, flags, oneOf, type Pair, pair, recordOf } from "../flags/parse-flag.ts";
import { addIpamFlags, ipamConfigs, type IpamFlags } from "./ipam-flags.ts";

interface Options extends IpamFlags {
  readonly driver: string;
  readonly ipv4?: boolean;
  readonly ipv6?: true;
  readonly ipamDriver?: string;
  readonly scope?: string;
  readonly internal?: true;
  readonly attachable?: true;
  readonly ingress?: true;
  readonly opt?: Pair[];
  readonly label?: Pair[];
}

export function define(command: Command, context: Context): void {
  command
    .argument("<name>", "the network's name")
    .option("-d, --driver <driver>", "how hosts are connected", "overlay");
  addIpamFlags(command)
    .option("--no-ipv4", "is refused: overlay networks have IPv4, with IPv6 beside it")
    .option("--ipv4", "IPv4, which there is anyway")
    .option("--ipv6", "IPv6 beside IPv4")
    .option(
      "--ipam-driver <driver>",
      "who chooses addresses: default, the managers",
      flag(only("default")),
    )
    .option("--scope <scope>", "how far it reaches: swarm, the whole cluster", flag(only("swarm")))
    .option("--internal", "no way out of the cluster")
    .option("--attachable", "open to containers that are no service's")
    .option("--ingress", "what published ports lead through, in place of the one that was removed")
    .option(
      "-o, --opt <key=value>",
      "encrypted, or com.docker.network.driver.mtu=1400 (repeat)",
      flags(pair),
    )
    .option("--label <key=value>", "label on the network (repeat)", flags(pair))
    .action(async (name: string, options: Options) => {
      const spec = networkSpec(command, name, options);
      const control = await context.control();
      const { network } = await control.createNetwork({ spec });
      if (network === undefined) throw new Fault("internal", "The manager returned no network");
      context.print(network.id);
    });
}

/** What Docker's users may write, and there is nothing else. */
function only(word: string): (text: string) => string {
  return oneOf({ [word]: word });
}

/** Whatever flags do not fit together is wrong usage. */
function networkSpec(command: Command, name: string, options: Options): NetworkSpec {
  const driverOptions = recordOf(options.opt);
  try {
    if (options.ipv4 === false) {
      throw new Fault("invalid-argument", "There is no network without IPv4: leave --ipv4 out");
    }
    const configs = ipamConfigs(options);
    return create(NetworkSpecSchema, {
      annotations: { name, labels: recordOf(options.label) },
      driverConfig: create(DriverSchema, { name: options.driver, options: driverOptions }),
      encrypted: isEncrypted(driverOptions),
      ipv6Enabled: options.ipv6 ?? false,
      internal: options.internal ?? false,
      attachable: options.attachable ?? false,
      ingress: options.ingress ?? false,
      ...(configs.length > 0 && { ipam: create(IpamOptionsSchema, { configs }) }),
    });
  } catch (thrown) {
    return command.error(`error: ${Fault.from(thrown).message}`);
  }
}
