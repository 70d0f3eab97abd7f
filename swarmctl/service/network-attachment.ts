/** One --network flag: a network's name or ID, or `name=backend,alias=db,alias=sql`. */
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import {
  type NetworkAttachmentConfig,
  NetworkAttachmentConfigSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { parseFields } from "../flags/parse-flag.ts";

export function parseNetworkAttachment(text: string): NetworkAttachmentConfig {
  if (text === "") throw new Fault("invalid-argument", "Name a network");
  if (!text.includes("=")) return create(NetworkAttachmentConfigSchema, { target: text });
  const attachment = create(NetworkAttachmentConfigSchema);
  for (const { key, value } of parseFields(text)) {
    if (key === "name") attachment.target = value;
    else if (key === "alias") attachment.aliases.push(value);
    else throw new Fault("invalid-argument", `"${key}" is not one of: name, alias`);
  }
  if (attachment.target === "") throw new Fault("invalid-argument", "Say name=NETWORK");
  return attachment;
}
