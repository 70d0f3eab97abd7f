import { toJson } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { LocalVolumeSchema, VolumeService } from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Context } from "../context.ts";
import { forEachRef } from "../for-each-ref.ts";
import { addNodeFlag, type NodeFlag, onNodes } from "../node-call.ts";
import { addInspectFlags, type InspectOptions } from "../output/inspect.ts";
import { printObjects } from "../print-objects.ts";
import { notThere, whereThere } from "./on-nodes.ts";

export function define(command: Command, context: Context): void {
  addInspectFlags(addNodeFlag(command))
    .argument("<volume...>", "names")
    .action(async (names: string[], options: NodeFlag & InspectOptions) => {
      const found: object[] = [];
      try {
        await forEachRef(context, names, async (name) => {
          found.push(...(await inspect(context, name, options)));
        });
      } finally {
        printObjects(context, options, found);
      }
    });
}

/** The volume on each node that has it. */
async function inspect(context: Context, name: string, options: NodeFlag): Promise<object[]> {
  const answers = await onNodes(context, VolumeService, options, (client) =>
    whereThere(client.getVolume({ name })),
  );
  const found = answers.flatMap(({ node, answer }) => {
    if (answer?.volume === undefined) return [];
    const volume = toJson(LocalVolumeSchema, answer.volume) as object;
    return [{ node: node.description?.hostname || node.id, ...volume }];
  });
  if (found.length === 0) throw notThere(name, options);
  return found;
}
