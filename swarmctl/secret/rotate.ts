import type { Command } from "commander";
import type { Context } from "../context.ts";
import { defineRotate } from "../file-object/rotate.ts";
import { secretNoun } from "../file-object/file-noun.ts";

export function define(command: Command, context: Context): void {
  defineRotate(secretNoun, command, context);
}
