/**
 * What swarmd can be told, as one table: on the command line as flags, in its configuration file as keys of the same
 * names. Those about the command line itself are no settings, and no keys.
 */
import { fastPathModes } from "#agent/network/fastpath/fast-path.ts";
import type { FlagDoc } from "#proto/flag-doc.ts";
import { registryFlagDocs, registryFlags } from "#registry/flags.ts";
import { imageFlagDefaults, imageFlagDocs, imageFlags } from "./image-flags.ts";
import { nodeFlagDocs, nodeFlags } from "./node-flags.ts";

export const logLevels = ["debug", "info", "warn", "error"] as const;

export const configPath = "/etc/swarm/swarmd.yml";

/** For node:util's parseArgs. */
export const settingFlags = {
  "data-root": { type: "string" },
  "run-root": { type: "string" },
  "cgroup-parent": { type: "string" },
  "engine-address": { type: "string" },
  "metrics-address": { type: "string" },
  "fast-path": { type: "string" },
  "log-level": { type: "string" },
  ...registryFlags,
  ...imageFlags,
  ...nodeFlags,
} as const;

export const commandFlags = {
  config: { type: "string" },
  check: { type: "boolean" },
  "print-config": { type: "boolean" },
  help: { type: "boolean" },
  version: { type: "boolean" },
} as const;

export const settingDefaults = {
  "data-root": "/var/lib/swarm",
  "run-root": "/run/swarm",
  "cgroup-parent": "swarm",
  "engine-address": "0.0.0.0:2378",
  "metrics-address": "",
  "fast-path": "auto",
  "log-level": "info",
  ...imageFlagDefaults,
  "generic-resource": [] as string[],
  label: [] as string[],
};

/** In the order in which people read of them. */
export const settingDocs: readonly FlagDoc[] = [
  {
    name: "data-root",
    argument: "DIR",
    text: "what must survive a reboot",
    default: settingDefaults["data-root"],
  },
  {
    name: "run-root",
    argument: "DIR",
    text: "sockets and what need not survive",
    default: settingDefaults["run-root"],
  },
  {
    name: "cgroup-parent",
    argument: "NAME",
    text: "where containers' cgroups go: in what systemd delegates, which is the cgroup of swarm-containers.service, or else, on cgroup v2, swarmd's own; or below the root with a slash before it",
    default: settingDefaults["cgroup-parent"],
  },
  {
    name: "engine-address",
    argument: "HOST:PORT",
    text: "where managers and other nodes reach the engine",
    default: settingDefaults["engine-address"],
  },
  {
    name: "metrics-address",
    argument: "HOST:PORT",
    text: "where Prometheus fetches what this host counts, at /metrics; no secrets, but no password either",
    otherwise: "nowhere",
    example: "127.0.0.1:9323",
  },
  {
    name: "log-level",
    argument: "LEVEL",
    text: `what is told: ${logLevels.join(", ")}`,
    default: settingDefaults["log-level"],
  },
  ...nodeFlagDocs,
  ...registryFlagDocs,
  ...imageFlagDocs,
  {
    name: "fast-path",
    argument: "MODE",
    text: `whether packets between tasks take a shortcut past the host's IP stack, where kernel, bpftool and the compiled program serve: ${fastPathModes.join(", ")}`,
    default: settingDefaults["fast-path"],
  },
];

export const commandDocs: readonly FlagDoc[] = [
  {
    name: "config",
    argument: "FILE",
    text: "settings as YAML: each flag above is a key; flags win over it",
    otherwise: `${configPath}, if it is there`,
  },
  { name: "check", argument: "", text: "say whether flags and file are valid, and exit" },
  { name: "print-config", argument: "", text: "print a file with every key explained, and exit" },
  { name: "version", argument: "", text: "print the version and exit" },
  { name: "help", argument: "", text: "print this and exit" },
];
