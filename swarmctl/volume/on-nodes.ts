/** Volumes are each node's own: one that asks for a volume may meet nodes that do not have it. */
import { Fault } from "#proto/fault.ts";
import type { VolumeService } from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Client } from "#proto/grpc.ts";
import type { NodeFlag } from "../node-call.ts";

export type VolumeClient = Client<typeof VolumeService>;

/** The answer, or undefined from a node that does not have the volume. */
export async function whereThere<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (thrown) {
    if (Fault.from(thrown).code === "not-found") return undefined;
    throw thrown;
  }
}

export function notThere(name: string, { node }: NodeFlag): Fault {
  const where = node === undefined ? "any node" : `node "${node}"`;
  return new Fault("not-found", `There is no volume "${name}" on ${where}`);
}
