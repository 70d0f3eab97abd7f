import assert from "node:assert/strict";
import { test } from "node:test";
import { Command } from "commander";
import { optionSchemas } from "#provision/cluster-file/options.ts";
import { addSpecFlags } from "./spec-flags.ts";

test("every flag of cluster update that is not about backups is a key of a cluster file's options", () => {
  const flags = addSpecFlags(new Command()).options.map(({ long = "" }) => long.slice(2));
  const settings = flags.filter((flag) => !flag.startsWith("backup-"));
  assert(settings.includes("autolock"));
  assert.deepEqual(
    settings.filter((flag) => !Object.hasOwn(optionSchemas, flag)),
    [],
  );
});
