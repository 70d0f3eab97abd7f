import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import { version } from "#proto/version.ts";
import type { Context } from "./context.ts";
import { flag } from "./flags/parse-flag.ts";
import { type Format, parseFormat } from "./output/format.ts";
import { messageField } from "./output/message-value.ts";

interface Options {
  readonly format?: Format;
}

export function define(command: Command, context: Context): void {
  command
    .option(
      "-f, --format <format>",
      "json, or a template: '{{.Client.Version}} {{.Server.Version}}'",
      flag(parseFormat),
    )
    .action(async ({ format }: Options) => {
      const server = await swarmdVersion(context);
      if (typeof format === "object") {
        const versions = { Client: { Version: version }, Server: { Version: server ?? "" } };
        context.print(format.template.run(versions, messageField));
      } else if (format === "json") {
        const versions = { client: version, server: server ?? null };
        context.print(JSON.stringify(versions, undefined, 2));
      } else {
        context.print(`swarmctl ${version}`);
        context.print(server === undefined ? "swarmd (not reachable)" : `swarmd ${server}`);
      }
    });
}

/** Asking for the version must work where no daemon runs. */
async function swarmdVersion(context: Context): Promise<string | undefined> {
  try {
    const swarmd = await context.node();
    return (await swarmd.getInfo({})).version;
  } catch (thrown) {
    if (thrown instanceof Fault) return undefined;
    throw thrown;
  }
}
