/** Images are each node's own: which nodes have one, and how images are named to people. */
import { Fault } from "#proto/fault.ts";
import { ImageService } from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Client } from "#proto/grpc.ts";
import { complain } from "../complain.ts";
import type { Context } from "../context.ts";
import { nameOf, type NodeAnswer, type NodeFlag, onNodes } from "../node-call.ts";

export type ImageClient = Client<typeof ImageService>;

/**
 * Asks each node about the image. Nodes that do not have it are left out; one that refuses is named; if no node has the
 * image, that is a Fault.
 */
export async function whereThere<T>(
  context: Context,
  flag: NodeFlag,
  ref: string,
  ask: (client: ImageClient) => Promise<T>,
): Promise<readonly NodeAnswer<T>[]> {
  const answers = await onNodes(context, ImageService, flag, async (client, node) => {
    try {
      return await ask(client);
    } catch (thrown) {
      const fault = Fault.from(thrown);
      if (fault.code === "not-found") return undefined;
      if (fault.code !== "failed-precondition") throw fault;
      return new Fault(fault.code, `Node ${nameOf(node)}: ${fault.message}`);
    }
  });
  const found: NodeAnswer<T>[] = [];
  const refusals: Fault[] = [];
  for (const { node, answer } of answers) {
    if (answer instanceof Fault) refusals.push(answer);
    else if (answer !== undefined) found.push({ node, answer });
  }
  const [refusal, ...others] = refusals;
  for (const { message } of others) complain(context.io, message);
  if (refusal !== undefined) throw refusal;
  if (found.length > 0) return found;
  const where = flag.node === undefined ? "any node" : `node "${flag.node}"`;
  throw new Fault("not-found", `There is no image "${ref}" on ${where}`);
}

/** As docker shows names: "nginx:1" of "docker.io/library/nginx:1". */
export function familiarName(reference: string): string {
  return reference.replace(/^docker\.io\/(?:library\/)?/, "");
}

/** "nginx" and "1" of "nginx:1"; the colon of a registry's port is none of a tag. */
export function splitTag(reference: string): readonly [repository: string, tag: string] {
  const colon = reference.lastIndexOf(":");
  if (colon <= reference.lastIndexOf("/")) return [reference, "<none>"];
  return [reference.slice(0, colon), reference.slice(colon + 1)];
}

/** As much of an ID as people read. */
export function shortImageId(id: string): string {
  return id.replace(/^sha256:/, "").slice(0, 12);
}
