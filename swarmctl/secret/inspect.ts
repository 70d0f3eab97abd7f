import type { Command } from "commander";
import type { Context } from "../context.ts";
import { defineInspect } from "../file-object/inspect.ts";
import { secretNoun } from "../file-object/file-noun.ts";

export function define(command: Command, context: Context): void {
  defineInspect(secretNoun, command, context);
}
