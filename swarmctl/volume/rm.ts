import type { Command } from "commander";
import { VolumeService } from "#proto/gen/swarm/v1/engine_pb.ts";
import { Fault } from "#proto/fault.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Context } from "../context.ts";
import { forEachRef } from "../for-each-ref.ts";
import { addNodeFlag, nameOf, type NodeFlag, onNodes } from "../node-call.ts";
import { notThere, type VolumeClient, whereThere } from "./on-nodes.ts";

interface Options extends NodeFlag {
  readonly force?: true;
}

export function define(command: Command, context: Context): void {
  addNodeFlag(command)
    .argument("<volume...>", "names")
    .option("-f, --force", "no error where there is none")
    .action(async (names: string[], options: Options) => {
      await forEachRef(context, names, async (name) => {
        const answers = await onNodes(context, VolumeService, options, (client, node) =>
          remove(client, node, name),
        );
        const refusal = answers.map(({ answer }) => answer).find((one) => one instanceof Fault);
        if (refusal !== undefined) throw refusal;
        const removed = answers.some(({ answer }) => answer !== undefined);
        if (!removed && !options.force) throw notThere(name, options);
        context.print(name);
      });
    });
}

/** Undefined where there is none; the Fault of a node that has it and does not let it go. */
async function remove(client: VolumeClient, node: Node, name: string): Promise<object | undefined> {
  try {
    return await whereThere(client.removeVolume({ name }));
  } catch (thrown) {
    const fault = Fault.from(thrown);
    if (fault.code !== "failed-precondition") throw fault;
    return new Fault(fault.code, `Node ${nameOf(node)}: ${fault.message}`);
  }
}
