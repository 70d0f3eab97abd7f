/** Every command with its one-line summary and the file that holds the rest of it. Adding a command adds a line here. */
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
  readonly load: () => Promise<CommandModule>;
}

export interface Noun {
  readonly name: string;
  readonly summary: string;
  readonly verbs: readonly CommandFile[];
}

const cluster: Noun = {
  name: "cluster",
  summary: "Make this host part of a cluster",
  verbs: [
    {
      name: "init",
      summary: "Start a cluster with this host as its first manager",
      load: () => import("./cluster/init.ts"),
    },
    {
      name: "join",
      summary: "Join this host to a cluster",
      load: () => import("./cluster/join.ts"),
    },
    {
      name: "info",
      summary: "Show what this host is in its cluster",
      load: () => import("./cluster/info.ts"),
    },
    {
      name: "join-token",
      summary: "Show how a worker or manager joins",
      load: () => import("./cluster/join-token.ts"),
    },
  ],
};

const node: Noun = {
  name: "node",
  summary: "Look at the cluster's hosts",
  verbs: [
    { name: "ls", summary: "List nodes", aliases: ["list"], load: () => import("./node/ls.ts") },
    {
      name: "inspect",
      summary: "Show everything about nodes as JSON",
      load: () => import("./node/inspect.ts"),
    },
  ],
};

const service: Noun = {
  name: "service",
  summary: "Run containers and keep them running",
  verbs: [
    { name: "create", summary: "Create a service", load: () => import("./service/create.ts") },
    {
      name: "ls",
      summary: "List services",
      aliases: ["list"],
      load: () => import("./service/ls.ts"),
    },
    { name: "ps", summary: "List the tasks of services", load: () => import("./service/ps.ts") },
    {
      name: "inspect",
      summary: "Show everything about services as JSON",
      load: () => import("./service/inspect.ts"),
    },
    {
      name: "scale",
      summary: "Change how many replicas services have",
      load: () => import("./service/scale.ts"),
    },
    { name: "update", summary: "Change a service", load: () => import("./service/update.ts") },
    {
      name: "rm",
      summary: "Remove services",
      aliases: ["remove"],
      load: () => import("./service/rm.ts"),
    },
    {
      name: "logs",
      summary: "Show what the containers of a service or task print",
      load: () => import("./service/logs.ts"),
    },
  ],
};

const task: Noun = {
  name: "task",
  summary: "Look at single tasks",
  verbs: [
    { name: "ls", summary: "List tasks", aliases: ["list"], load: () => import("./task/ls.ts") },
    {
      name: "inspect",
      summary: "Show everything about tasks as JSON",
      load: () => import("./task/inspect.ts"),
    },
  ],
};

const network: Noun = {
  name: "network",
  summary: "Connect services across hosts",
  verbs: [
    { name: "create", summary: "Create a network", load: () => import("./network/create.ts") },
    {
      name: "ls",
      summary: "List networks",
      aliases: ["list"],
      load: () => import("./network/ls.ts"),
    },
    {
      name: "inspect",
      summary: "Show everything about networks as JSON",
      load: () => import("./network/inspect.ts"),
    },
    {
      name: "rm",
      summary: "Remove networks",
      aliases: ["remove"],
      load: () => import("./network/rm.ts"),
    },
  ],
};

const stack: Noun = {
  name: "stack",
  summary: "Deploy services and networks from a file",
  verbs: [
    {
      name: "deploy",
      summary: "Create or update a stack from a file",
      aliases: ["up"],
      load: () => import("./stack/deploy.ts"),
    },
    { name: "ls", summary: "List stacks", aliases: ["list"], load: () => import("./stack/ls.ts") },
    {
      name: "services",
      summary: "List the services of a stack",
      load: () => import("./stack/services.ts"),
    },
    { name: "ps", summary: "List the tasks of a stack", load: () => import("./stack/ps.ts") },
    {
      name: "rm",
      summary: "Remove stacks with their services and networks",
      aliases: ["remove", "down"],
      load: () => import("./stack/rm.ts"),
    },
  ],
};

export const nouns: readonly Noun[] = [cluster, node, service, task, network, stack];

export const topCommands: readonly CommandFile[] = [
  {
    name: "version",
    summary: "Show the versions of swarmctl and of this host's swarmd",
    load: () => import("./version.ts"),
  },
];
