/**
 * What the daemon is told: by its command line, then by its configuration file, then by default. Everything that can be
 * checked without looking at the host is checked here.
 */
import { parseArgs } from "node:util";
import { type FastPathMode, fastPathModes } from "#agent/network/fastpath/fast-path.ts";
import { Fault } from "#proto/fault.ts";
import { describeFlags } from "#proto/flag-doc.ts";
import type { RegistrySettings } from "#registry/endpoints.ts";
import { parseRegistryFlags } from "#registry/flags.ts";
import { ConfigFile } from "./config-file.ts";
import {
  commandDocs,
  commandFlags,
  configPath,
  logLevels,
  settingDefaults,
  settingDocs,
  settingFlags,
} from "./flags.ts";
import { type ImageSettings, parseImageFlags } from "./image-flags.ts";
import { type NodeSettings, parseNodeFlags } from "./node-flags.ts";

type LogLevel = (typeof logLevels)[number];

export interface Config extends RegistrySettings, ImageSettings, NodeSettings {
  readonly dataRoot: string;
  readonly runRoot: string;
  /** Containers get folders in it. With a slash before it it is below the root also where systemd delegates cgroups. */
  readonly cgroupParent: string;
  readonly logLevel: LogLevel;
  /** HOST:PORT where the engine serves managers and other nodes. */
  readonly engineAddress: string;
  /** Whether packets between tasks take a shortcut past the IP stack; see agent/network/fastpath. */
  readonly fastPath: FastPathMode;
  /** HOST:PORT where Prometheus fetches metrics; empty: there are none. */
  readonly metricsAddress: string;
}

export type Command =
  | { readonly command: "run" | "check"; readonly config: Config }
  | { readonly command: "help" | "version" | "print-config" };

export const help = `usage: swarmd [OPTION]…

The daemon of one host of a cluster: runs containers and, on managers, the manager.

${describeFlags(settingDocs)}${describeFlags(commandDocs)}
Exit status: 0 told to stop, 1 it cannot go on, 2 wrong flags or configuration file.
`;

/** What of the host the command line depends on. */
export interface CommandHost {
  /** Where the proxies are. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Undefined: there is no such file. */
  readonly readFile: (path: string) => string | undefined;
}

/** Linux allows 107 bytes for a socket's path; this leaves room for the sockets' names. */
const runRootBytesMax = 50;

export function parseCommand(argv: readonly string[], host: CommandHost): Command {
  const { config: path, check, "print-config": print, ...values } = parse(argv);
  if (values.help === true) return { command: "help" };
  if (values.version === true) return { command: "version" };
  if (print === true) return { command: "print-config" };
  const file = readConfigFile(path, host);
  try {
    const config = toConfig({ ...settingDefaults, ...parse(file.args), ...values }, host.env);
    return { command: check === true ? "check" : "run", config };
  } catch (thrown) {
    throw file.located(thrown);
  }
}

function readConfigFile(path: string | undefined, { readFile }: CommandHost): ConfigFile {
  const text = readFile(path ?? configPath);
  if (text === undefined && path !== undefined) throw usage(`--config "${path}" is not there`);
  return ConfigFile.parse(text ?? "", path ?? configPath);
}

type Values = ReturnType<typeof parse>;

type Settings = Values & Required<Pick<Values, keyof typeof settingDefaults>>;

function toConfig(values: Settings, env: CommandHost["env"]): Config {
  const level = logLevels.find((name) => name === values["log-level"]);
  if (level === undefined) {
    throw usage(`--log-level "${values["log-level"]}" is none of ${logLevels.join(", ")}`);
  }
  const fastPath = fastPathModes.find((mode) => mode === values["fast-path"]);
  if (fastPath === undefined) {
    throw usage(`--fast-path "${values["fast-path"]}" is none of ${fastPathModes.join(", ")}`);
  }
  const runRoot = absolute("--run-root", values["run-root"]);
  if (Buffer.byteLength(runRoot) > runRootBytesMax) {
    throw usage(
      `--run-root "${runRoot}" is longer than ${runRootBytesMax} bytes: sockets below it could not be made`,
    );
  }
  return {
    dataRoot: absolute("--data-root", values["data-root"]),
    runRoot,
    cgroupParent: cgroupName(values["cgroup-parent"]),
    ...parseRegistryFlags(values, env),
    ...parseImageFlags(values),
    ...parseNodeFlags(values),
    logLevel: level,
    engineAddress: listenAddress("--engine-address", values["engine-address"]),
    fastPath,
    metricsAddress: optionalAddress("--metrics-address", values["metrics-address"]),
  };
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: { ...settingFlags, ...commandFlags } }).values;
  } catch (thrown) {
    throw usage(Fault.from(thrown).message);
  }
}

function absolute(flag: string, path: string): string {
  if (!path.startsWith("/")) throw usage(`${flag} "${path}" is not an absolute path`);
  return path;
}

function listenAddress(flag: string, address: string): string {
  const port = /^(?:\[[0-9a-fA-F:.]+\]|[0-9A-Za-z.-]+):([0-9]{1,5})$/.exec(address)?.[1];
  if (port !== undefined && Number(port) > 0 && Number(port) <= 65_535) return address;
  throw usage(`${flag} "${address}" is not HOST:PORT, such as 192.0.2.1:2378`);
}

function optionalAddress(flag: string, address: string): string {
  return address === "" ? "" : listenAddress(flag, address);
}

function cgroupName(name: string): string {
  const trimmed = name.replace(/^\/+|\/+$/g, "");
  if (!/^[A-Za-z0-9_.-]+(\/[A-Za-z0-9_.-]+)*$/.test(trimmed) || trimmed.split("/").includes("..")) {
    throw usage(
      `--cgroup-parent "${name}" is not a cgroup's path, such as swarm or machines/swarm`,
    );
  }
  return name.startsWith("/") ? `/${trimmed}` : trimmed;
}

function usage(message: string): Fault {
  return new Fault("invalid-argument", message);
}
