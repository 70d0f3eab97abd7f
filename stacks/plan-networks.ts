/**
 * What a deployment does to the networks of a stack. Pure. A network cannot change while somebody is on it, so one that
 * differs from the file is made anew where nobody is, and refused where somebody is. Its labels alone are worth no refusal.
 */
import { equals } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type Network, type NetworkSpec, NetworkSpecSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { saysEncryption } from "#proto/network-options.ts";
import { describeChange, fieldChanges } from "./field-changes.ts";
import { checkOwner, nameOf, type Stack } from "./stack.ts";

export type NetworkStep =
  | { readonly kind: "create-network"; readonly spec: NetworkSpec }
  | { readonly kind: "replace-network"; readonly network: Network; readonly spec: NetworkSpec }
  /** Its labels differ, and stay what they are. */
  | { readonly kind: "keep-labels"; readonly network: Network; readonly spec: NetworkSpec };

export interface NetworkWorld {
  readonly networks: readonly Network[];
  /** Those that stay. */
  readonly services: readonly Service[];
}

export function planNetworks(stack: Stack, world: NetworkWorld): NetworkStep[] {
  const byName = new Map(world.networks.map((network) => [nameOf(network.spec), network]));
  const missing = stack.externalNetworks.find((name) => !byName.has(name));
  if (missing !== undefined) {
    const message = `Network "${missing}" is external to the stack and does not exist: create it first`;
    throw new Fault("failed-precondition", message);
  }
  return stack.networks.flatMap((wanted): NetworkStep[] => {
    const network = byName.get(nameOf(wanted));
    const spec = asDefault(wanted, network?.spec);
    if (network?.spec === undefined) return [{ kind: "create-network", spec }];
    checkOwner(stack, `Network "${nameOf(spec)}"`, network.spec);
    if (equals(NetworkSpecSchema, network.spec, spec)) return [];
    const users = world.services.filter((service) => isOn(service, network));
    if (users.length === 0) return [{ kind: "replace-network", network, spec }];
    if (equals(NetworkSpecSchema, withLabelsOf(network.spec, spec), spec)) {
      return [{ kind: "keep-labels", network, spec }];
    }
    throw differs(network.spec, spec, users);
  });
}

/** What the file does not say, the cluster's default has said when the network was made. */
function asDefault(spec: NetworkSpec, present: NetworkSpec | undefined): NetworkSpec {
  if (present === undefined || saysEncryption(spec.driverConfig?.options ?? {})) return spec;
  return { ...spec, encrypted: present.encrypted };
}

function isOn({ spec }: Service, { id, spec: network }: Network): boolean {
  const name = nameOf(network);
  return spec?.task?.networks.some(({ target }) => target === id || target === name) ?? false;
}

function withLabelsOf(spec: NetworkSpec, { annotations }: NetworkSpec): NetworkSpec {
  return { ...spec, ...(annotations !== undefined && { annotations }) };
}

function differs(before: NetworkSpec, after: NetworkSpec, users: readonly Service[]): Fault {
  const changes = fieldChanges(NetworkSpecSchema, before, after).map(describeChange).join(", ");
  const names = users.map(({ spec }) => `"${nameOf(spec)}"`).join(", ");
  return new Fault(
    "failed-precondition",
    `Network "${nameOf(after)}" differs from the file (${changes}) and cannot change while ${names} ${users.length === 1 ? "is" : "are"} on it: give it another name in the file (networks: …: name:), and services move to it one task after the other, or remove the stack first`,
  );
}
