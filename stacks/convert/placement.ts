/** `deploy.placement` and `platform` → where a service's tasks may run. */
import { create } from "@bufbuild/protobuf";
import {
  type Placement,
  PlacementPreferenceSchema,
  PlacementSchema,
  type Platform,
  PlatformSchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { ServiceEntry } from "../compose/compose-file.ts";
import { type Reader, refusal } from "./reader.ts";

/** Undefined where the file says nothing of it. */
export function placement(
  reader: Reader,
  { deploy, platform }: ServiceEntry,
): Placement | undefined {
  const entry = deploy?.placement;
  const platforms = reader.one("platform", platform, parsePlatform);
  if (entry === undefined && platforms === undefined) return undefined;
  const place = reader.under("deploy", "placement");
  return create(PlacementSchema, {
    constraints: [...(entry?.constraints ?? [])],
    preferences: place.each("preferences", entry?.preferences, ({ spread }) => {
      if (spread === undefined) throw refusal("it has no spread, such as node.labels.zone");
      const preference = { case: "spread", value: { spreadDescriptor: spread } } as const;
      return create(PlacementPreferenceSchema, { preference });
    }),
    maxReplicas: BigInt(entry?.max_replicas_per_node ?? 0),
    platforms: platforms === undefined ? [] : [platforms],
  });
}

/** OS/ARCHITECTURE, as Docker has it. */
function parsePlatform(text: string): Platform {
  const [os = "", architecture = "", ...variant] = text.split("/");
  if (os === "" || architecture === "" || variant.length > 1) {
    throw refusal(`"${text}" is not OS/ARCHITECTURE, such as linux/amd64`);
  }
  return create(PlatformSchema, { os, architecture });
}
