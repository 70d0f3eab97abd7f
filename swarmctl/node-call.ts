/** Calls to nodes' engines, which the manager passes on: to one node, or to all that are ready. */
import type { DescService } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Client } from "#proto/grpc.ts";
import { inParallel } from "#provision/in-parallel.ts";
import { complain } from "./complain.ts";
import type { Context } from "./context.ts";

/** Nodes that are asked at the same time. */
const atOnceMax = 16;

export interface NodeAnswer<T> {
  readonly node: Node;
  readonly answer: T;
}

export interface NodeFlag {
  readonly node?: string;
}

export function addNodeFlag(command: Command): Command {
  return command.option("--node <node>", "one node, by ID or host name (default: all)");
}

/** Asks the node that the flag names, or all that are ready, as `askNodes` does. */
export async function onNodes<S extends DescService, T>(
  context: Context,
  service: S,
  { node: ref }: NodeFlag,
  ask: (client: Client<S>, node: Node) => Promise<T>,
): Promise<readonly NodeAnswer<T>[]> {
  if (ref === undefined) return await askNodes(context, service, ask);
  const node = await nodeOf(context, ref);
  return [{ node, answer: await ask(await context.engine(service, node.id), node) }];
}

/** The nodes that the flag means, whatever their state. */
export async function nodesMeant(
  context: Context,
  { node: ref }: NodeFlag,
): Promise<readonly Node[]> {
  if (ref !== undefined) return [await nodeOf(context, ref)];
  return (await (await context.control()).listNodes({})).nodes;
}

async function nodeOf(context: Context, ref: string): Promise<Node> {
  const { node } = await (await context.control()).getNode({ ref });
  if (node === undefined) throw new Fault("internal", "The manager returned no node");
  return node;
}

/**
 * Asks all nodes that are ready, some at a time, and resolves with what they answered, in the order of `node ls`. Those that
 * did not answer are named on stderr; if none does, that is a Fault.
 */
async function askNodes<S extends DescService, T>(
  context: Context,
  service: S,
  ask: (client: Client<S>, node: Node) => Promise<T>,
): Promise<readonly NodeAnswer<T>[]> {
  const { nodes } = await (await context.control()).listNodes({});
  const ready = nodes.filter(({ status }) => status?.state === NodeState.READY);
  const answers = await settleNodes(ready, async (node) => {
    return await ask(await context.engine(service, node.id), node);
  });
  const faults = answers.filter((answer) => answer instanceof NodeFault);
  const [first] = faults;
  if (first !== undefined && faults.length === answers.length) throw first.fault;
  for (const { fault } of faults) complain(context.io, fault.message);
  for (const node of nodes.filter((node) => !ready.includes(node))) {
    complain(context.io, `Node ${nameOf(node)} was not asked: it is not ready`);
  }
  return answers.flatMap((answer) => (answer instanceof NodeFault ? [] : [answer]));
}

/** That a node did not answer, and why. */
export class NodeFault {
  readonly node: Node;
  readonly fault: Fault;

  constructor(node: Node, thrown: unknown) {
    this.node = node;
    this.fault = Fault.wrap(`Node ${nameOf(node)} did not answer`, thrown);
  }
}

/** Asks the nodes given, some at a time: what each answered or why it did not, in their order. */
export async function settleNodes<T>(
  nodes: readonly Node[],
  ask: (node: Node) => Promise<T>,
): Promise<readonly (NodeAnswer<T> | NodeFault)[]> {
  return await inParallel(nodes, async (node) => await settle(node, ask), atOnceMax);
}

async function settle<T>(
  node: Node,
  ask: (node: Node) => Promise<T>,
): Promise<NodeAnswer<T> | NodeFault> {
  try {
    return { node, answer: await ask(node) };
  } catch (thrown) {
    return new NodeFault(node, thrown);
  }
}

/** What people call the node. */
export function nodeName({ id, description }: Node): string {
  return description?.hostname || id;
}

/** The same within a sentence. */
export function nameOf(node: Node): string {
  return `"${nodeName(node)}"`;
}
