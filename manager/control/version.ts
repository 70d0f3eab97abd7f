import { Fault } from "#proto/fault.ts";
import type { Meta, Version } from "#proto/gen/swarm/v1/types_pb.ts";

/** An update names the version that it read: another's change in between is never overwritten unseen. */
export function refuseStale(
  what: string,
  stored: { readonly meta?: Meta | undefined },
  read: Version | undefined,
): void {
  if (read === undefined) {
    throw new Fault("invalid-argument", "version is missing: send the one that you read");
  }
  const newest = stored.meta?.version?.index;
  if (read.index === newest) return;
  const message = `update out of sequence: ${what} is at version ${newest}, not ${read.index}; read it again`;
  throw new Fault("conflict", message);
}
