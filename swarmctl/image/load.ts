import { createReadStream } from "node:fs";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import { type Image, ImageService } from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Context } from "../context.ts";
import type { Io } from "../io.ts";
import { addNodeFlag, type NodeFlag, nodeName, onNodes } from "../node-call.ts";
import { familiarName } from "./on-nodes.ts";

interface Options extends NodeFlag {
  readonly input?: string;
  readonly quiet?: true;
}

/** Of one message. */
const pieceBytes = 256 * 1024;

/** A large archive on a slow network. */
const loadDeadlineMs = 60 * 60_000;

export function define(command: Command, context: Context): void {
  addNodeFlag(command)
    .argument("[file]", 'an OCI layout or what "docker save" wrote, as a tar; without it stdin')
    .option("-i, --input <file>", "the same, as Docker has it")
    .option("-q, --quiet", "print only the names")
    .action(async (argument: string | undefined, options: Options) => {
      const { io } = context;
      const file = argument ?? options.input ?? "-";
      if (file === "-" && io.stdin.isTTY === true) {
        throw new Fault("invalid-argument", "Name the archive, or pipe it in");
      }
      if (file === "-" && options.node === undefined) {
        const message =
          "What is piped in can be read once: name one node with --node, or load a file";
        throw new Fault("invalid-argument", message);
      }
      const answers = await onNodes(context, ImageService, options, async (client) => {
        const { signal } = io;
        return await client.loadImages(requests(io, file), { signal, deadlineMs: loadDeadlineMs });
      });
      for (const { node, answer } of answers) {
        for (const name of answer.images.flatMap(namesOf)) {
          context.print(options.quiet ? name : `${nodeName(node)}: Loaded image: ${name}`);
        }
      }
    });
}

async function* requests(io: Io, file: string): AsyncGenerator<{ data: Uint8Array }> {
  try {
    const source = file === "-" ? io.stdin : createReadStream(file, { highWaterMark: pieceBytes });
    for await (const chunk of source) {
      const bytes = Buffer.from(chunk);
      for (let start = 0; start < bytes.length; start += pieceBytes) {
        yield { data: bytes.subarray(start, start + pieceBytes) };
      }
    }
  } catch (thrown) {
    throw Fault.wrap(`Cannot read "${file}"`, thrown);
  }
}

function namesOf({ id, references }: Image): readonly string[] {
  return references.length === 0 ? [id] : references.map(familiarName);
}
