/** What a network's spec must look like. Pure. */
import { type Network, type NetworkSpec, NetworkSpecSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { Fault } from "#proto/fault.ts";
import { planIpam, type TakenSubnet } from "../allocator/ipam.ts";
import { parseSubnet } from "#proto/ipv4.ts";
import { addressPools } from "../cluster.ts";
import { checkAnnotations, invalid, parsed } from "./field.ts";
import { refuseUnsupported } from "./supported.ts";

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
  if (Object.keys(spec.driverConfig?.options ?? {}).length > 0) {
    const message = "driver_config.options is not supported yet: leave it out";
    throw new Fault("unimplemented", message);
  }
  if ((spec.ipam?.configs.length ?? 0) > 0) checkIpam(spec, networks);
  return spec;
}

/** In the allocator's own words. */
function checkIpam(spec: NetworkSpec, networks: readonly Network[]): void {
  const path = "ipam.configs[0]";
  if (spec.ipam?.configs[0]?.subnet === "") {
    throw invalid(`${path}.subnet`, "is empty: write a subnet such as 10.1.0.0/24");
  }
  const taken = networks.flatMap(subnetsOf);
  parsed(path, () => planIpam(spec, { pools: addressPools(undefined), taken }));
}

/** As allocated, or as wished for where the allocator has not come to it yet. */
function subnetsOf({ id, ipam, spec }: Network): readonly TakenSubnet[] {
  const network = spec?.annotations?.name ?? id;
  const configs = ipam?.configs ?? spec?.ipam?.configs ?? [];
  return configs.map(({ subnet }) => ({ ...parseSubnet(subnet), network }));
}
