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
  readonly aliases?: readonly string[];
  readonly verbs: readonly CommandFile[];
}

const cluster: Noun = {
  name: "cluster",
  summary: "Make this host part of a cluster, and look after the cluster",
  aliases: ["swarm"],
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
      name: "leave",
      summary: "Take this host out of its cluster",
      load: () => import("./cluster/leave.ts"),
    },
    {
      name: "info",
      summary: "Show what this host is in its cluster",
      load: () => import("./cluster/info.ts"),
    },
    {
      name: "update",
      summary: "Change the cluster's settings",
      load: () => import("./cluster/update.ts"),
    },
    {
      name: "join-token",
      summary: "Show or renew the token with which a worker or manager joins",
      load: () => import("./cluster/join-token.ts"),
    },
    {
      name: "unlock",
      summary: "Give this host's locked manager its key",
      load: () => import("./cluster/unlock.ts"),
    },
    {
      name: "unlock-key",
      summary: "Show or renew the key of managers that lock themselves",
      load: () => import("./cluster/unlock-key.ts"),
    },
    {
      name: "ca",
      summary: "Show or renew the root certificate",
      load: () => import("./cluster/ca.ts"),
    },
    {
      name: "backup",
      summary: "Write everything that a new host needs to go on as this cluster",
      load: () => import("./cluster/backup.ts"),
    },
    {
      name: "restore",
      summary: "Start a cluster on this host from a backup",
      load: () => import("./cluster/restore.ts"),
    },
  ],
};

const node: Noun = {
  name: "node",
  summary: "Look after the cluster's hosts",
  verbs: [
    { name: "ls", summary: "List nodes", aliases: ["list"], load: () => import("./node/ls.ts") },
    { name: "ps", summary: "List the tasks of nodes", load: () => import("./node/ps.ts") },
    {
      name: "inspect",
      summary: "Show everything about nodes as JSON",
      load: () => import("./node/inspect.ts"),
    },
    { name: "update", summary: "Change a node", load: () => import("./node/update.ts") },
    {
      name: "promote",
      summary: "Make nodes managers",
      load: () => import("./node/promote.ts"),
    },
    { name: "demote", summary: "Make managers workers", load: () => import("./node/demote.ts") },
    {
      name: "rm",
      summary: "Remove nodes",
      aliases: ["remove"],
      load: () => import("./node/rm.ts"),
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
      summary: "Show everything about services, as JSON or for people",
      load: () => import("./service/inspect.ts"),
    },
    {
      name: "scale",
      summary: "Change how many replicas services have",
      load: () => import("./service/scale.ts"),
    },
    { name: "update", summary: "Change a service", load: () => import("./service/update.ts") },
    {
      name: "rollback",
      summary: "Bring a service back to what it was before its last change",
      load: () => import("./service/rollback.ts"),
    },
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
    {
      name: "logs",
      summary: "Show what a task's container prints",
      load: () => import("./task/logs.ts"),
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
      name: "trace",
      summary: "Follow the way from a task to another or an address, and say where it stops",
      load: () => import("./network/trace.ts"),
    },
    {
      name: "rm",
      summary: "Remove networks",
      aliases: ["remove"],
      load: () => import("./network/rm.ts"),
    },
    {
      name: "rotate-keys",
      summary: "Have every node renew its key for encrypted networks",
      load: () => import("./network/rotate-keys.ts"),
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

const config: Noun = {
  name: "config",
  summary: "Keep files for services",
  verbs: [
    { name: "create", summary: "Create a config", load: () => import("./config/create.ts") },
    {
      name: "ls",
      summary: "List configs",
      aliases: ["list"],
      load: () => import("./config/ls.ts"),
    },
    {
      name: "inspect",
      summary: "Show everything about configs as JSON",
      load: () => import("./config/inspect.ts"),
    },
    {
      name: "rm",
      summary: "Remove configs",
      aliases: ["remove"],
      load: () => import("./config/rm.ts"),
    },
  ],
};

const secret: Noun = {
  name: "secret",
  summary: "Keep files for services that nobody may read",
  verbs: [
    { name: "create", summary: "Create a secret", load: () => import("./secret/create.ts") },
    {
      name: "ls",
      summary: "List secrets",
      aliases: ["list"],
      load: () => import("./secret/ls.ts"),
    },
    {
      name: "inspect",
      summary: "Show everything about secrets but their data as JSON",
      load: () => import("./secret/inspect.ts"),
    },
    {
      name: "rm",
      summary: "Remove secrets",
      aliases: ["remove"],
      load: () => import("./secret/rm.ts"),
    },
  ],
};

const volume: Noun = {
  name: "volume",
  summary: "Look after what containers keep on their nodes",
  verbs: [
    { name: "create", summary: "Create a volume", load: () => import("./volume/create.ts") },
    {
      name: "ls",
      summary: "List volumes",
      aliases: ["list"],
      load: () => import("./volume/ls.ts"),
    },
    {
      name: "inspect",
      summary: "Show everything about volumes as JSON",
      load: () => import("./volume/inspect.ts"),
    },
    {
      name: "rm",
      summary: "Remove volumes with what they hold",
      aliases: ["remove"],
      load: () => import("./volume/rm.ts"),
    },
    {
      name: "prune",
      summary: "Remove volumes that no task has",
      load: () => import("./volume/prune.ts"),
    },
  ],
};

const context: Noun = {
  name: "context",
  summary: "Reach clusters from this host",
  verbs: [
    {
      name: "create",
      summary: "Get a certificate from a cluster and keep how to reach it",
      load: () => import("./context/create.ts"),
    },
    {
      name: "ls",
      summary: "List contexts",
      aliases: ["list"],
      load: () => import("./context/ls.ts"),
    },
    {
      name: "use",
      summary: "Choose the context of the commands that follow",
      load: () => import("./context/use.ts"),
    },
    {
      name: "show",
      summary: "Print the name of the context in use",
      load: () => import("./context/show.ts"),
    },
    {
      name: "inspect",
      summary: "Show contexts as JSON, without their keys",
      load: () => import("./context/inspect.ts"),
    },
    {
      name: "export",
      summary: "Write a context with its key to a file",
      load: () => import("./context/export.ts"),
    },
    {
      name: "import",
      summary: "Take a context from a file",
      load: () => import("./context/import.ts"),
    },
    {
      name: "rm",
      summary: "Remove contexts",
      aliases: ["remove"],
      load: () => import("./context/rm.ts"),
    },
  ],
};

const image: Noun = {
  name: "image",
  summary: "Look after the images on nodes",
  verbs: [
    { name: "ls", summary: "List images", aliases: ["list"], load: () => import("./image/ls.ts") },
    { name: "pull", summary: "Bring an image to nodes", load: () => import("./image/pull.ts") },
    {
      name: "rm",
      summary: "Remove images from nodes",
      aliases: ["remove"],
      load: () => import("./image/rm.ts"),
    },
    { name: "prune", summary: "Remove unused images", load: () => import("./image/prune.ts") },
    {
      name: "inspect",
      summary: "Show everything about images as JSON",
      load: () => import("./image/inspect.ts"),
    },
    {
      name: "history",
      summary: "Show how an image was built",
      load: () => import("./image/history.ts"),
    },
    {
      name: "load",
      summary: "Bring images from an archive to nodes",
      load: () => import("./image/load.ts"),
    },
    {
      name: "save",
      summary: "Write images to an archive",
      load: () => import("./image/save.ts"),
    },
  ],
};

const system: Noun = {
  name: "system",
  summary: "See and free what nodes use of their disks, and check how they reach each other",
  verbs: [
    {
      name: "check",
      summary: "Check whether nodes reach each other",
      load: () => import("./system/check.ts"),
    },
    {
      name: "df",
      summary: "Show how much images, containers, volumes and logs take",
      load: () => import("./system/df.ts"),
    },
    {
      name: "prune",
      summary: "Remove what is not used",
      load: () => import("./system/prune.ts"),
    },
  ],
};

export const nouns: readonly Noun[] = [
  cluster,
  node,
  service,
  task,
  network,
  config,
  secret,
  volume,
  stack,
  context,
  image,
  system,
];

export const topCommands: readonly CommandFile[] = [
  {
    name: "exec",
    summary: "Run a command in a task's container",
    load: () => import("./exec.ts"),
  },
  {
    name: "attach",
    summary: "Show what a task's container prints, and type to it",
    load: () => import("./attach.ts"),
  },
  {
    name: "cp",
    summary: "Copy files between a task's container and this machine",
    load: () => import("./cp.ts"),
  },
  {
    name: "port-forward",
    summary: "Reach a task's ports from this machine",
    load: () => import("./port-forward.ts"),
  },
  {
    name: "top",
    summary: "Show what tasks and nodes use",
    aliases: ["stats"],
    load: () => import("./top/top.ts"),
  },
  {
    name: "version",
    summary: "Show the versions of swarmctl and of this host's swarmd",
    load: () => import("./version.ts"),
  },
  { name: "login", summary: "Log in to a registry", load: () => import("./login.ts") },
  { name: "logout", summary: "Forget the login at a registry", load: () => import("./logout.ts") },
];
