/** The daemon's command line. Everything that can be checked without looking at the host is checked here. */
import { parseArgs } from "node:util";
import { type FastPathMode, fastPathModes } from "#agent/network/fastpath/fast-path.ts";
import { Fault } from "#proto/fault.ts";
import type { RegistrySettings } from "#registry/endpoints.ts";
import { parseRegistryFlags, registryFlags, registryFlagsHelp } from "#registry/flags.ts";
import { imageFlags, imageFlagsHelp, type ImageSettings, parseImageFlags } from "./image-flags.ts";
import { nodeFlags, nodeFlagsHelp, type NodeSettings, parseNodeFlags } from "./node-flags.ts";

export const logLevels = ["debug", "info", "warn", "error"] as const;

export type LogLevel = (typeof logLevels)[number];

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
  | { readonly command: "run"; readonly config: Config }
  | { readonly command: "help" }
  | { readonly command: "version" };

export const help = `usage: swarmd [OPTION]…

The daemon of one host of a cluster: runs containers and, on managers, the manager.

  --data-root DIR               what must survive a reboot (default /var/lib/swarm)
  --run-root DIR                sockets and what need not survive (default /run/swarm)
  --cgroup-parent NAME          where containers' cgroups go (default swarm); on cgroup v2 it is inside of
                                swarmd's own cgroup, or below the root with a slash before it
${registryFlagsHelp}${imageFlagsHelp}${nodeFlagsHelp}  --engine-address HOST:PORT    where managers and other nodes reach the engine (default 0.0.0.0:2378)
  --fast-path MODE              ${fastPathModes.join(", ")}: packets between tasks take a shortcut past the host's IP
                                stack, where kernel, bpftool and the compiled program serve (default auto)
  --metrics-address HOST:PORT   where Prometheus fetches what this host counts, at /metrics; no secrets, but no
                                password either (default: nowhere)
  --log-level LEVEL             ${logLevels.join(", ")} (default info)
  --version                     print the version and exit
  --help                        print this and exit
`;

/** Linux allows 107 bytes for a socket's path; this leaves room for the sockets' names. */
const runRootBytesMax = 50;

/** `env`: where the proxies are. */
export function parseCommand(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>> = {},
): Command {
  const { values } = parse(argv);
  if (values.help === true) return { command: "help" };
  if (values.version === true) return { command: "version" };
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
  const config = {
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
  return { command: "run", config };
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      options: {
        "data-root": { type: "string", default: "/var/lib/swarm" },
        "run-root": { type: "string", default: "/run/swarm" },
        "cgroup-parent": { type: "string", default: "swarm" },
        ...registryFlags,
        ...imageFlags,
        ...nodeFlags,
        "engine-address": { type: "string", default: "0.0.0.0:2378" },
        "fast-path": { type: "string", default: "auto" },
        "metrics-address": { type: "string", default: "" },
        "log-level": { type: "string", default: "info" },
        help: { type: "boolean" },
        version: { type: "boolean" },
      },
    });
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
