import type { Command } from "commander";
import { VolumeService } from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Context } from "../context.ts";
import { flags, type Pair, pair, recordOf } from "../flags/parse-flag.ts";
import { addNodeFlag, type NodeFlag, onNodes } from "../node-call.ts";

interface Options extends NodeFlag {
  readonly driver: string;
  readonly opt?: Pair[];
  readonly label?: Pair[];
}

export function define(command: Command, context: Context): void {
  addNodeFlag(command)
    .argument("[volume]", "what the volume is called (default: a name is made up)")
    .option("-d, --driver <driver>", "how it is kept", "local")
    .option("-o, --opt <key=value>", "option of the driver: type, o, device (repeat)", flags(pair))
    .option("--label <key=value>", "label of the volume (repeat)", flags(pair))
    .action(async (name: string | undefined, options: Options) => {
      const answers = await onNodes(context, VolumeService, options, (client) =>
        client.createVolume({
          name: name ?? "",
          driver: options.driver,
          options: recordOf(options.opt),
          labels: recordOf(options.label),
        }),
      );
      const names = answers.map(({ answer }) => answer.volume?.name ?? "");
      for (const made of new Set(names)) context.print(made);
    });
}
