import { open, rename, rm } from "node:fs/promises";
import type { Command } from "commander";
import { ImageService } from "#proto/gen/swarm/v1/engine_pb.ts";
import { Fault } from "#proto/fault.ts";
import type { Context } from "../context.ts";
import { type NodeFlag, onNodes } from "../node-call.ts";
import { type ImageClient } from "./on-nodes.ts";

interface Options extends NodeFlag {
  readonly output?: string;
}

export function define(command: Command, context: Context): void {
  command
    .argument("<image...>", "names, IDs, or beginnings of IDs")
    .option("-o, --output <file>", "where to write the tar (default: stdout)")
    .option("--node <node>", "from this node, by ID or host name (default: the first that has all)")
    .action(async (refs: string[], options: Options) => {
      const { io } = context;
      if (options.output === undefined && io.stdout.isTTY === true) {
        throw new Fault("invalid-argument", "Name a file with --output, or pipe the output on");
      }
      const client = await clientWithAll(context, options, refs);
      const stream = client.saveImages({ refs }, { signal: io.signal });
      if (options.output === undefined) await print(context, stream);
      else await write(options.output, stream);
    });
}

type Stream = AsyncIterable<{ readonly data: Uint8Array }>;

async function clientWithAll(
  context: Context,
  flag: NodeFlag,
  refs: readonly string[],
): Promise<ImageClient> {
  const answers = await onNodes(context, ImageService, flag, async (client) => {
    const missing: Fault[] = [];
    for (const ref of refs) {
      try {
        await client.getImage({ ref });
      } catch (thrown) {
        const fault = Fault.from(thrown);
        if (fault.code !== "not-found") throw fault;
        missing.push(fault);
      }
    }
    return { client, missing };
  });
  const found = answers.find(({ answer }) => answer.missing.length === 0);
  if (found !== undefined) return found.answer.client;
  if (flag.node === undefined) {
    const names = refs.map((ref) => `"${ref}"`).join(", ");
    throw new Fault("not-found", `No node has ${refs.length > 1 ? "all of " : ""}${names}`);
  }
  throw answers[0]?.answer.missing[0] ?? new Fault("unavailable", "No node answered");
}

/** The file is there whole or not at all. */
async function write(file: string, stream: Stream): Promise<void> {
  const draft = `${file}.partial`;
  try {
    await using output = await open(draft, "w", 0o644);
    for await (const { data } of stream) await output.writeFile(data);
    await rename(draft, file);
  } catch (thrown) {
    throw Fault.wrap(`Cannot write "${file}"`, thrown);
  } finally {
    await rm(draft, { force: true });
  }
}

async function print({ io }: Context, stream: Stream): Promise<void> {
  for await (const { data } of stream) {
    await new Promise<void>((resolve) => {
      io.stdout.write(data, resolve);
    });
  }
}
