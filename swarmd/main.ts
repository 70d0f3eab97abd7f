#!/usr/bin/env node
/** swarmd: reads the command line, makes the ports, runs the daemon until it is told to stop. */
import { enableCompileCache } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { errnoOf, Fault } from "#proto/fault.ts";
import { version } from "#proto/version.ts";
import { type Command, type Config, help, parseCommand } from "./config.ts";
import { defaultConfigFile } from "./config-file.ts";
import { lockFolder, lockHost } from "./lock.ts";

function readFile(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return undefined;
    throw Fault.wrap(`Cannot read the configuration file "${path}"`, thrown);
  }
}

function readCommand(): Command {
  return parseCommand(process.argv.slice(2), { env: process.env, readFile });
}

function commandOrExit(): Command {
  try {
    return readCommand();
  } catch (thrown) {
    process.stderr.write(`swarmd: ${Fault.from(thrown).message}; see swarmd --help\n`);
    process.exit(2);
  }
}

async function start(config: Config): Promise<void> {
  await using parts = new AsyncDisposableStack();
  parts.use(lockFolder(config.dataRoot, "data root"));
  parts.use(lockFolder(config.runRoot, "run root"));
  parts.use(await lockHost());
  // What was compiled once starts in half the time: a node whose swarmd starts anew must be back before it counts as down.
  enableCompileCache(join(config.dataRoot, "compiled"));
  const { run } = await import("./run.ts");
  await run(config, () => {
    const command = readCommand();
    return command.command === "run" ? command.config : config;
  });
}

const command = commandOrExit();
switch (command.command) {
  case "help":
    process.stdout.write(help);
    break;
  case "version":
    process.stdout.write(`swarmd ${version}\n`);
    break;
  case "print-config":
    process.stdout.write(defaultConfigFile());
    break;
  case "check":
    break;
  case "run":
    try {
      await start(command.config);
      process.exit(0);
    } catch (thrown) {
      process.stderr.write(`swarmd: ${Fault.from(thrown).message}\n`);
      process.exit(1);
    }
}
