/** The manager's command line. What can be checked without looking at the host is checked here. */
import { parseArgs } from "node:util";
import { Fault } from "#proto/fault.ts";
import type { RegistrySettings } from "#registry/endpoints.ts";
import { parseRegistryFlags, registryFlags, registryFlagsHelp } from "#registry/flags.ts";

export const logLevels = ["debug", "info", "warn", "error"] as const;

export type LogLevel = (typeof logLevels)[number];

export interface Config extends RegistrySettings {
  readonly dataRoot: string;
  readonly runRoot: string;
  readonly listenAddress: string;
  readonly advertiseAddress: string;
  readonly logLevel: LogLevel;
}

export const help = `usage: manager [OPTION]…

The manager of a cluster. swarmd starts it on the hosts that are managers, and tells it the rest on stdin.

  --data-root DIR            what must survive a reboot (default /var/lib/swarm)
  --run-root DIR             where manager.sock goes (default /run/swarm)
  --listen-address HOST:PORT where nodes reach it on this host (default 0.0.0.0:2377)
  --advertise-address HOST:PORT
                             where other hosts reach it
${registryFlagsHelp}  --log-level LEVEL          ${logLevels.join(", ")} (default info)
  --help                     print this and exit
`;

/** Undefined: help was asked for. `env`: where the proxies are. */
export function parseConfig(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>> = {},
): Config | undefined {
  const values = parse(argv);
  if (values.help === true) return undefined;
  const logLevel = logLevels.find((level) => level === values["log-level"]);
  if (logLevel === undefined) {
    throw usage(`--log-level "${values["log-level"]}" is none of ${logLevels.join(", ")}`);
  }
  const advertiseAddress = values["advertise-address"];
  if (advertiseAddress === undefined) {
    throw usage("--advertise-address is missing: say where other hosts reach this manager");
  }
  return {
    dataRoot: absolute("--data-root", values["data-root"]),
    runRoot: absolute("--run-root", values["run-root"]),
    listenAddress: address("--listen-address", values["listen-address"]),
    advertiseAddress: address("--advertise-address", advertiseAddress),
    logLevel,
    ...parseRegistryFlags(values, env),
  };
}

function parse(argv: readonly string[]) {
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        "data-root": { type: "string", default: "/var/lib/swarm" },
        "run-root": { type: "string", default: "/run/swarm" },
        "listen-address": { type: "string", default: "0.0.0.0:2377" },
        "advertise-address": { type: "string" },
        "log-level": { type: "string", default: "info" },
        ...registryFlags,
        help: { type: "boolean" },
      },
    });
    return values;
  } catch (thrown) {
    throw usage(Fault.from(thrown).message);
  }
}

function absolute(flag: string, path: string): string {
  if (path.startsWith("/")) return path;
  throw usage(`${flag} "${path}" is not an absolute path`);
}

function address(flag: string, text: string): string {
  const [, port] = /^(?:[^:]+|\[[0-9a-fA-F:]+\]):([0-9]{1,5})$/.exec(text) ?? [];
  if (port !== undefined && Number(port) <= 65_535) return text;
  throw usage(`${flag} "${text}" is not of the form HOST:PORT`);
}

function usage(problem: string): Fault {
  return new Fault("invalid-argument", problem);
}
