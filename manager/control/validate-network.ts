/** What a network's spec must look like. Pure. */
import {
  type IpamConfig,
  type Network,
  type NetworkSpec,
  NetworkSpecSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { Fault } from "#proto/fault.ts";
import { AddressPool } from "../allocator/ipam.ts";
import {
  formatAddress,
  formatSubnet,
  overlap,
  parseSubnet,
  type Subnet,
} from "../allocator/ipv4.ts";
import { checkAnnotations, invalid } from "./field.ts";
import { refuseUnsupported } from "./supported.ts";

/** A network needs a gateway, and addresses for some tasks; beyond /8 there is no private range. */
const prefixMin = 8;
const prefixMax = 29;

/** The spec, if it holds beside the networks that there are. */
export function validateNetworkSpec(
  spec: NetworkSpec | undefined,
  networks: readonly Network[],
): NetworkSpec {
  if (spec === undefined) throw invalid("spec", "is missing");
  checkAnnotations(spec.annotations);
  const driver = spec.driverConfig?.name ?? "";
  if (driver !== "" && driver !== "overlay") {
    const message = `driver_config.name "${driver}" is not supported yet: use overlay`;
    throw new Fault("unimplemented", message);
  }
  refuseUnsupported(NetworkSpecSchema, spec);
  const configs = spec.ipam?.configs ?? [];
  if (configs.length > 1) {
    throw new Fault("unimplemented", "ipam.configs[1] is not supported yet: give one subnet");
  }
  for (const config of configs) checkSubnet("ipam.configs[0].subnet", config, networks);
  return spec;
}

function checkSubnet(path: string, config: IpamConfig, networks: readonly Network[]): void {
  const text = config.subnet;
  if (text === "") throw invalid(path, "is empty: write a subnet such as 10.1.0.0/24");
  const subnet = parsed(path, () => parseSubnet(text));
  if (subnet.prefix < prefixMin || subnet.prefix > prefixMax) {
    throw invalid(path, `"${text}" has no size from /${prefixMin} to /${prefixMax}`);
  }
  for (const network of networks) {
    const other = subnetsOf(network).find((taken) => overlap(subnet, taken));
    if (other === undefined) continue;
    const name = network.spec?.annotations?.name ?? network.id;
    throw invalid(path, `"${text}" overlaps with ${formatSubnet(other)} of network "${name}"`);
  }
  // Refuses a range or a gateway that does not fit, in the allocator's own words.
  const gateway = config.gateway || formatAddress(subnet.base + 1);
  parsed("ipam.configs[0]", () => new AddressPool({ ...config, gateway }));
}

function parsed<T>(path: string, parse: () => T): T {
  try {
    return parse();
  } catch (thrown) {
    throw Fault.wrap(path, thrown);
  }
}

/** As allocated, or as wished for where the allocator has not come to it yet. */
function subnetsOf({ ipam, spec }: Network): readonly Subnet[] {
  const configs = ipam?.configs ?? spec?.ipam?.configs ?? [];
  return configs.filter(({ subnet }) => subnet !== "").map(({ subnet }) => parseSubnet(subnet));
}
