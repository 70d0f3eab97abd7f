/** Volumes are each node's own: commands about them go to one node, or to all that are ready. */
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import { VolumeService } from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Client } from "#proto/grpc.ts";
import type { Context } from "../context.ts";
import { askNodes, type NodeAnswer } from "../node-call.ts";

export type VolumeClient = Client<typeof VolumeService>;

export interface NodeFlag {
  readonly node?: string;
}

export function addNodeFlag(command: Command): Command {
  return command.option("--node <node>", "one node, by ID or host name (default: all)");
}

export async function onNodes<T>(
  context: Context,
  { node: ref }: NodeFlag,
  ask: (client: VolumeClient, node: Node) => Promise<T>,
): Promise<readonly NodeAnswer<T>[]> {
  if (ref === undefined) return await askNodes(context, VolumeService, ask);
  const { node } = await (await context.control()).getNode({ ref });
  if (node === undefined) throw new Fault("internal", "The manager returned no node");
  const client = await context.engine(VolumeService, node.id);
  return [{ node, answer: await ask(client, node) }];
}

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
