/** The flags that every command has: where the cluster is. */
import { type Command, Option } from "commander";
import { defaultRunRoot, type PlaceFlags } from "./context.ts";

/** Each takes a value, and may stand before the noun. A command that calls something else so goes without. */
export const placeOptions: readonly Option[] = [
  new Option(
    "--run-root <dir>",
    `where the sockets are (env SWARM_RUN_ROOT, default ${defaultRunRoot})`,
  ),
  new Option(
    "--host <host[:port]>",
    "a manager to talk to, or ssh://[user@]host[:port] (env SWARM_HOST)",
  ),
  new Option("--context <name>", "how a cluster is reached from here (env SWARM_CONTEXT)"),
].map((option) => option.helpGroup("Where the cluster is:"));

/** After a command's own flags: those are what somebody who asks for help looks for. */
export function addPlaceOptions(command: Command): Command {
  for (const option of placeOptions) {
    if (!command.options.some(({ long }) => long === option.long)) command.addOption(option);
  }
  return command;
}

/** What a command or those above it were told about where the cluster is; what stands first counts. */
export function placeOf(action: Command): PlaceFlags {
  const flags: Record<string, unknown> = {};
  for (let command: Command | null = action; command !== null; command = command.parent) {
    for (const option of command.options) {
      const name = option.attributeName();
      const value: unknown = command.getOptionValue(name);
      if (placeOptions.includes(option) && value !== undefined) flags[name] = value;
    }
  }
  return flags;
}
