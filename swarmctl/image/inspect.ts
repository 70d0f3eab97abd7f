import { toJson } from "@bufbuild/protobuf";
import type { Command } from "commander";
import {
  type GetImageResponse,
  ImageLayerSchema,
  ImageSchema,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Context } from "../context.ts";
import { forEachRef } from "../for-each-ref.ts";
import { addNodeFlag, type NodeFlag, nodeName } from "../node-call.ts";
import { addInspectFlags, type InspectOptions } from "../output/inspect.ts";
import { printObjects } from "../print-objects.ts";
import { whereThere } from "./on-nodes.ts";

export function define(command: Command, context: Context): void {
  addInspectFlags(addNodeFlag(command))
    .argument("<image...>", "names, IDs, or beginnings of IDs")
    .action(async (refs: string[], options: NodeFlag & InspectOptions) => {
      const found: object[] = [];
      try {
        await forEachRef(context, refs, async (ref) => {
          const answers = await whereThere(context, options, ref, (client) =>
            client.getImage({ ref }),
          );
          for (const one of merge(answers.map(({ node, answer }) => [nodeName(node), answer]))) {
            found.push(one);
          }
        });
      } finally {
        printObjects(context, options, found);
      }
    });
}

/** The same image is the same on all nodes: told once, with the names of the nodes that have it. */
function merge(answers: readonly (readonly [string, GetImageResponse])[]): readonly object[] {
  const byId = new Map<string, { readonly nodes: string[]; readonly about: object }>();
  for (const [node, answer] of answers) {
    const id = answer.image?.id ?? "";
    const known = byId.get(id);
    if (known === undefined) byId.set(id, { nodes: [node], about: describe(answer) });
    else known.nodes.push(node);
  }
  return [...byId.values()].map(({ nodes, about }) => ({ nodes, ...about }));
}

function describe({ image, config, manifest, layers }: GetImageResponse): object {
  return {
    ...(image === undefined ? {} : (toJson(ImageSchema, image) as object)),
    config: parseDocument(config),
    manifest: parseDocument(manifest),
    layers: layers.map((layer) => toJson(ImageLayerSchema, layer)),
  };
}

/** What the image's author wrote, which the node has checked. */
function parseDocument(text: string): unknown {
  return JSON.parse(text);
}
