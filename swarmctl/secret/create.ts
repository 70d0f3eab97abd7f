import type { Command } from "commander";
import type { Context } from "../context.ts";
import { defineCreate } from "../file-object/create.ts";
import { secretNoun } from "../file-object/file-noun.ts";

export function define(command: Command, context: Context): void {
  defineCreate(secretNoun, command, context);
}
