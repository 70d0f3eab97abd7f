import type { Command } from "commander";
import type { Context } from "../context.ts";
import { forEachRef } from "../for-each-ref.ts";
import { addNodeFlag, type NodeFlag } from "../node-call.ts";
import { familiarName, whereThere } from "./on-nodes.ts";

interface Options extends NodeFlag {
  readonly force?: true;
}

export function define(command: Command, context: Context): void {
  addNodeFlag(command)
    .argument("<image...>", "names, IDs, or beginnings of IDs")
    .option("--no-prune", "for Docker's users: there are no parents that would go with it")
    .option("-f, --force", "with all of its names; never an image that a task uses")
    .action(async (refs: string[], options: Options) => {
      const force = options.force ?? false;
      await forEachRef(context, refs, async (ref) => {
        const answers = await whereThere(context, options, ref, (client) =>
          client.removeImage({ ref, force }),
        );
        const all = (of: (answer: (typeof answers)[number]["answer"]) => readonly string[]) =>
          new Set(answers.flatMap(({ answer }) => of(answer)));
        for (const name of all(({ untagged }) => untagged)) {
          context.print(`Untagged: ${familiarName(name)}`);
        }
        for (const id of all(({ deleted }) => deleted)) context.print(`Deleted: ${id}`);
      });
    });
}
