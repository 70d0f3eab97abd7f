import { type Command, Option } from "commander";
import { parseStackName } from "#stacks/stack.ts";
import type { Context } from "../context.ts";
import { flag } from "../flags/parse-flag.ts";
import { addPlanFlags, type PlanFlags, planSettings } from "./deploy.ts";
import { addComposeFlags, type ComposeFlags, loadStack } from "./load-stack.ts";
import { printDiff } from "./print-diff.ts";

interface Options extends ComposeFlags, PlanFlags {
  readonly format: "text" | "json";
  readonly quiet?: true;
}

export function define(command: Command, context: Context): void {
  command
    .argument("<stack>", "what the stack is called", flag(parseStackName))
    .option("-q, --quiet", "print nothing: the exit code says it")
    .addOption(
      new Option("--format <format>", "how to print").choices(["text", "json"]).default("text"),
    );
  addPlanFlags(addComposeFlags(command)).action(async (name: string, options: Options) => {
    const { format, quiet } = options;
    const asked = { ...planSettings(options), format, ...(quiet && { quiet }) };
    await printDiff(context, () => loadStack(context, name, options), asked);
  });
}
