import type { Command } from "commander";
import type { Context } from "../context.ts";
import { defineLs } from "../file-object/ls.ts";
import { secretNoun } from "../file-object/file-noun.ts";

export function define(command: Command, context: Context): void {
  defineLs(secretNoun, command, context);
}
