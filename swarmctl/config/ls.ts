import type { Command } from "commander";
import type { Context } from "../context.ts";
import { defineLs } from "../file-object/ls.ts";
import { configNoun } from "../file-object/file-noun.ts";

export function define(command: Command, context: Context): void {
  defineLs(configNoun, command, context);
}
