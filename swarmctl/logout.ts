import type { Command } from "commander";
import type { Context } from "./context.ts";
import { parseServer, removeLogin } from "./registry-login.ts";

export function define(command: Command, context: Context): void {
  command
    .argument("[server]", "HOST[:PORT] of the registry; Docker's own where it is left out")
    .action(async (server: string | undefined) => {
      const registry = parseServer(server);
      await removeLogin(context.io, registry);
      context.print(`Removing login credentials for ${registry}`);
    });
}
