/** What the tables of commands are made of. */
import type { Command } from "commander";
import type { Context } from "./context.ts";

export interface CommandModule {
  /** Adds arguments, flags and the action. */
  define(command: Command, context: Context): void;
}

export interface CommandFile {
  readonly name: string;
  readonly summary: string;
  readonly aliases?: readonly string[];
  /** Other programs call it: neither help nor completion nor the reference tell of it. */
  readonly hidden?: true;
  readonly load: () => Promise<CommandModule>;
}

export interface Noun {
  readonly name: string;
  readonly summary: string;
  readonly aliases?: readonly string[];
  readonly verbs: readonly CommandFile[];
}
