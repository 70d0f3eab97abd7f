import type { Command } from "commander";
import type { Context } from "../context.ts";
import { defineRm } from "../file-object/rm.ts";
import { configNoun } from "../file-object/file-noun.ts";

export function define(command: Command, context: Context): void {
  defineRm(configNoun, command, context);
}
