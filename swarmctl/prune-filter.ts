/** `--filter` of what removes: how old it must be, and labels that it must have or must not. */
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import { durationMs, flags, type Pair, pair } from "./flags/parse-flag.ts";

/** Keys are "until", "label" and "label!". */
export function addPruneFilterFlag(command: Command): Command {
  return command.option(
    "--filter <key=value>",
    "until=DURATION, label=KEY[=VALUE] or label!=KEY[=VALUE] (repeat)",
    flags(parsePruneFilter),
  );
}

function parsePruneFilter(text: string): Pair {
  const { key, value } = pair(text);
  if (value !== "" && (key === "label" || key === "label!")) return { key, value };
  if (key !== "until") {
    throw new Fault("invalid-argument", "Write until=24h, label=KEY or label!=KEY");
  }
  durationMs(value);
  return { key, value };
}
