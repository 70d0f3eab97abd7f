/** One --network flag: a network's name or ID, or `name=backend,alias=db,ip=10.0.1.5,ip=10.0.1.6`. */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type NetworkAttachmentConfig,
  NetworkAttachmentConfigSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { isAddress } from "#proto/ipv4.ts";
import { formatAddress6, isAddress6, parseAddress6 } from "#proto/ipv6.ts";
import type { ControlClient } from "../context.ts";
import { parseFields, splitAt } from "../flags/parse-flag.ts";

export function parseNetworkAttachment(text: string): NetworkAttachmentConfig {
  if (text === "") throw new Fault("invalid-argument", "Name a network");
  if (!text.includes("=")) return create(NetworkAttachmentConfigSchema, { target: text });
  const attachment = create(NetworkAttachmentConfigSchema);
  for (const { key, value } of parseFields(text)) {
    if (key === "name") attachment.target = value;
    else if (key === "alias") attachment.aliases.push(value);
    else if (key === "ip" || key === "ip6") attachment.addresses.push(parseStaticAddress(value));
    else if (key === "driver-opt") {
      const [option, said = ""] = splitAt(value, "=");
      attachment.driverAttachmentOpts[option] = said;
    } else {
      const problem = `"${key}" is not one of: name, alias, ip, driver-opt`;
      throw new Fault("invalid-argument", problem);
    }
  }
  if (attachment.target === "") throw new Fault("invalid-argument", "Say name=NETWORK");
  return attachment;
}

/** In the one form that managers take. */
function parseStaticAddress(text: string): string {
  if (isAddress(text)) return text;
  if (isAddress6(text)) return formatAddress6(parseAddress6(text));
  throw new Fault("invalid-argument", `"${text}" is not an IP address`);
}

export interface NetworkChanges {
  readonly networkAdd?: readonly NetworkAttachmentConfig[];
  readonly networkRm?: readonly string[];
}

/** The spec and the flags may name one network in two ways: managers know which is which. */
export async function changedNetworks(
  control: ControlClient,
  before: readonly NetworkAttachmentConfig[],
  { networkAdd = [], networkRm = [] }: NetworkChanges,
): Promise<NetworkAttachmentConfig[]> {
  if (networkAdd.length + networkRm.length === 0) return [...before];
  const idOf = async (ref: string) => (await control.getNetwork({ ref })).network?.id ?? ref;
  const has = await Promise.all(before.map(({ target }) => idOf(target)));
  const removed = await Promise.all(networkRm.map(idOf));
  for (const [index, id] of removed.entries()) {
    if (has.includes(id)) continue;
    const message = `Cannot take out network "${networkRm[index]}": the service is not on it`;
    throw new Fault("invalid-argument", message);
  }
  const gone = new Set([
    ...removed,
    ...(await Promise.all(networkAdd.map(({ target }) => idOf(target)))),
  ]);
  return [...before.filter((_, index) => !gone.has(has[index] ?? "")), ...networkAdd];
}
