/** What a network's spec must look like. Pure. */
import { toBinary } from "@bufbuild/protobuf";
import { type Network, type NetworkSpec, NetworkSpecSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { Fault } from "#proto/fault.ts";
import { isLocalNetworkName } from "#proto/main-network.ts";
import { isEncrypted, mtuOf, overlayOptions, saysEncryption } from "#proto/network-options.ts";
import { planIpam } from "../allocator/ipam.ts";
import { allocatedSubnets, subnetContext } from "../allocator/plan-networks.ts";
import { ingressNetwork } from "../ingress.ts";
import type { View } from "../store/store.ts";
import { checkAnnotations, invalid, parsed } from "./field.ts";
import { refuseUnsupported } from "./supported.ts";

/** Every task on the network carries its spec. */
const specBytesMax = 16 * 1024;

/** The spec, if it holds beside the networks and nodes that there are, with what its driver's options say in its fields. */
export function validateNetworkSpec(spec: NetworkSpec | undefined, view: View): NetworkSpec {
  if (spec === undefined) throw invalid("spec", "is missing");
  const sizeBytes = toBinary(NetworkSpecSchema, spec).length;
  if (sizeBytes > specBytesMax) {
    throw invalid("spec", `has ${sizeBytes} bytes: use at most ${specBytesMax}`);
  }
  checkAnnotations(spec.annotations);
  const name = spec.annotations?.name ?? "";
  if (isLocalNetworkName(name)) {
    throw invalid("annotations.name", `"${name}" is a network that every host has: choose another`);
  }
  const driver = spec.driverConfig?.name ?? "";
  if (driver !== "" && driver !== "overlay") {
    const message = `driver_config.name "${driver}" is not supported yet: use overlay`;
    throw new Fault("unimplemented", message);
  }
  refuseUnsupported(NetworkSpecSchema, spec);
  checkOptions(spec);
  checkIngress(spec, view);
  checkIpam(spec, view);
  return { ...spec, encrypted: spec.encrypted || isWishedEncrypted(spec, view) };
}

/** Where its options do not say it, the cluster's setting does. */
function isWishedEncrypted({ driverConfig }: NetworkSpec, view: View): boolean {
  const { options = {} } = driverConfig ?? {};
  if (saysEncryption(options)) return parsed("driver_config.options", () => isEncrypted(options));
  return view.list("cluster").some((cluster) => cluster.spec?.network?.encrypted);
}

function checkOptions({ driverConfig, ipv6Enabled }: NetworkSpec): void {
  const { options = {} } = driverConfig ?? {};
  const unknown = Object.keys(options).find((option) => !overlayOptions.includes(option));
  if (unknown !== undefined) {
    const message = `driver_config.options "${unknown}" is not supported: use ${overlayOptions.join(" or ")}`;
    throw new Fault("unimplemented", message);
  }
  parsed("driver_config.options", () => mtuOf(options, { ipv6: ipv6Enabled }));
}

function checkIngress(spec: NetworkSpec, view: View): void {
  if (!spec.ingress) return;
  if (spec.attachable) throw invalid("attachable", "is on: the ingress network is not for that");
  if (spec.internal) throw invalid("internal", "is on: the ingress network must have a way out");
  const present = ingressNetwork(view);
  if (present === undefined) return;
  const name = present.spec?.annotations?.name;
  const message = `the cluster has an ingress network, "${name}", and can have one only: remove it first`;
  throw new Fault("already-exists", message);
}

/** In the allocator's own words; also that no pool has a subnet left, of which nobody else would tell the user. */
function checkIpam(spec: NetworkSpec, view: View): void {
  for (const [index, { subnet }] of (spec.ipam?.configs ?? []).entries()) {
    if (subnet !== "") continue;
    throw invalid(`ipam.configs[${index}].subnet`, "is empty: write a subnet such as 10.1.0.0/24");
  }
  planIpam(spec, subnetContext(view, wishedSubnets));
}

/** As allocated, or as wished for where the allocator has not come to it yet. */
function wishedSubnets(network: Network) {
  const allocated = allocatedSubnets(network);
  return allocated.length > 0 ? allocated : (network.spec?.ipam?.configs ?? []);
}
