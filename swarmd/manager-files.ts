/** Where the manager of this host keeps its data and is reached, and how it is started. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Connection } from "#proto/grpc.ts";
import { registryArgs } from "#registry/flags.ts";
import type { Config } from "./config.ts";
import type { Identity } from "./identity.ts";

export function managerRoot(config: Config): string {
  return join(config.dataRoot, "manager");
}

/** Whether there is a log to go on with. */
export function hasManagerData(config: Config): boolean {
  return existsSync(join(managerRoot(config), "log.db"));
}

/** Where Node keeps what it has compiled of the manager. It goes with the manager's data. */
export function compileCache(config: Config): string {
  return join(managerRoot(config), "compiled");
}

export function managerArgs(
  config: Config,
  addresses: Pick<Identity, "listenAddress" | "advertiseAddress">,
): readonly string[] {
  return [
    `--data-root=${config.dataRoot}`,
    `--run-root=${config.runRoot}`,
    `--listen-address=${addresses.listenAddress}`,
    `--advertise-address=${addresses.advertiseAddress}`,
    `--log-level=${config.logLevel}`,
    ...registryArgs(config),
  ];
}

/** Over its unix socket, as this host's root. */
export function connectToManager(config: Config): Connection {
  return new Connection(managerSocket(config));
}

export function managerSocket(config: Config): string {
  return `unix:${join(config.runRoot, "manager.sock")}`;
}
