import type { Command } from "commander";
import { ImageService } from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Context } from "../context.ts";
import { liveLines } from "../output/live-lines.ts";
import { formatSize } from "../output/size.ts";
import { registryAuthFor } from "../registry-login.ts";
import { addNodeFlag, type NodeFlag, nodeName, onNodes } from "../node-call.ts";
import { familiarName } from "./on-nodes.ts";

interface Options extends NodeFlag {
  readonly quiet?: true;
}

export function define(command: Command, context: Context): void {
  addNodeFlag(command)
    .argument("<image>", "NAME[:TAG][@DIGEST]")
    .option("-q, --quiet", "print only the image's name")
    .option("--disable-content-trust", "for Docker's users: signatures are not looked at")
    .action(async (reference: string, options: Options) => {
      const { io } = context;
      const registryAuth = (await registryAuthFor(io, reference)) ?? "";
      const show = options.quiet ? () => {} : liveLines(io.stderr);
      const lines = new Map<string, string>();
      const names = await onNodes(context, ImageService, options, async (client, node) => {
        let name = reference;
        const pull = client.pullImage({ reference, registryAuth }, { signal: io.signal });
        for await (const { message, completedBytes, totalBytes, image } of pull) {
          const bytes =
            message === "downloading"
              ? ` ${formatSize(Number(completedBytes))} of ${formatSize(Number(totalBytes))}`
              : "";
          lines.set(node.id, `${nodeName(node)}: ${message}${io.stderr.isTTY ? bytes : ""}`);
          show([...lines.values()]);
          name = image?.references[0] ?? image?.digests[0] ?? name;
        }
        return name;
      });
      for (const name of new Set(names.map(({ answer }) => answer))) {
        context.print(familiarName(name));
      }
    });
}
