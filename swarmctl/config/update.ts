import type { Command } from "commander";
import type { Context } from "../context.ts";
import { defineUpdate } from "../file-object/update.ts";
import { configNoun } from "../file-object/file-noun.ts";

export function define(command: Command, context: Context): void {
  defineUpdate(configNoun, command, context);
}
