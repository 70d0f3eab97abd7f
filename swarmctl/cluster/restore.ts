import { createReadStream } from "node:fs";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { RestoreClusterRequestSchema } from "#proto/gen/swarm/v1/node_pb.ts";
import type { Context } from "../context.ts";
import { addHostFlags, type HostFlags, hostAddresses } from "./host-flags.ts";
import { readUnlockKey } from "./unlock.ts";

const chunkBytes = 256 * 1024;

interface Options extends HostFlags {
  readonly unlock?: true;
}

export function define(command: Command, context: Context): void {
  command.argument("<file>", 'what "swarmctl cluster backup" wrote');
  addHostFlags(command)
    .option("--unlock", "ask for the unlock key, of a cluster whose managers lock themselves")
    .action(async (file: string, options: Options) => {
      const swarmd = await context.node();
      const unlockKey = options.unlock ? await readUnlockKey(context) : "";
      const first = { ...hostAddresses(options), unlockKey };
      const reply = await swarmd.restoreCluster(requests(file, first), {
        signal: context.io.signal,
      });
      context.print(
        `Swarm restored: current node (${reply.nodeId}) is its only manager, at ${reply.managerAddress}.\n`,
      );
      context.print(
        'All other nodes are down until they come back. Those that do not find this manager by themselves join anew: see "swarmctl cluster join-token worker".',
      );
    });
}

type Request = MessageInitShape<typeof RestoreClusterRequestSchema>;

async function* requests(file: string, first: Request): AsyncIterable<Request> {
  yield first;
  try {
    for await (const data of createReadStream(file, { highWaterMark: chunkBytes })) {
      yield { data };
    }
  } catch (thrown) {
    throw Fault.wrap(`Cannot read "${file}"`, thrown);
  }
}
