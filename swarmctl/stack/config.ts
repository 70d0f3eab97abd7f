import type { Command } from "commander";
import { printCompose } from "#stacks/compose/print-compose.ts";
import type { Context } from "../context.ts";
import { addFileFlags, type FileFlags, loadFiles, loadOptions } from "./load-stack.ts";

interface Options extends FileFlags {
  readonly skipInterpolation?: true;
}

export function define(command: Command, context: Context): void {
  addFileFlags(command)
    .option("--skip-interpolation", "leave variables as they are written")
    .action(async (options: Options) => {
      const interpolate = options.skipInterpolation !== true;
      const given = { ...loadOptions(context, options), interpolate, forCluster: false };
      const { content } = await loadFiles(context, options, given);
      context.io.stdout.write(printCompose(content, { escape: interpolate }));
    });
}
