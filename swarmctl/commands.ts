/** Every command with its one-line summary and the file that holds the rest of it. Adding a command adds a line here. */
import type { Noun } from "./command-file.ts";
import { context, image, system, volume } from "./host-commands.ts";

const cluster: Noun = {
  name: "cluster",
  summary: "Make this host part of a cluster, and look after the cluster",
  aliases: ["swarm"],
  verbs: [
    {
      name: "apply",
      summary: "Make the hosts of a file the cluster that it says, over ssh",
      load: () => import("./cluster/apply.ts"),
    },
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
      name: "destroy",
      summary: "Take a cluster and swarm itself off all hosts of its file, for good",
      load: () => import("./cluster/destroy.ts"),
    },
    {
      name: "status",
      summary: "Show on one screen how the cluster is, and what needs its operator",
      load: () => import("./cluster/status/status.ts"),
    },
    {
      name: "upgrade",
      summary: "Give all hosts of a cluster's file another version, one after the other",
      load: () => import("./cluster/upgrade.ts"),
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
      name: "plan",
      summary: "Show what an update would change, and which tasks it would replace",
      load: () => import("./service/plan.ts"),
    },
    {
      name: "promote",
      summary: "Let an update that waits with its canaries go on with all tasks",
      load: () => import("./service/promote.ts"),
    },
    {
      name: "rebalance",
      summary: "Spread a service's tasks anew over the nodes that there are now",
      load: () => import("./service/rebalance.ts"),
    },
    {
      name: "run-now",
      summary: "Begin a run of a job now",
      load: () => import("./service/run-now.ts"),
    },
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
      name: "prune",
      summary: "Remove networks that no service uses",
      load: () => import("./network/prune.ts"),
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
    {
      name: "config",
      summary: "Print a stack's files as one: merged, with variables replaced",
      load: () => import("./stack/config.ts"),
    },
    {
      name: "diff",
      summary: "Show what a deployment would change, and which tasks it would replace",
      load: () => import("./stack/diff.ts"),
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
      summary: "Show everything about configs, as JSON or for people",
      load: () => import("./config/inspect.ts"),
    },
    {
      name: "rm",
      summary: "Remove configs",
      aliases: ["remove"],
      load: () => import("./config/rm.ts"),
    },
    {
      name: "update",
      summary: "Change a config's labels",
      load: () => import("./config/update.ts"),
    },
    {
      name: "rotate",
      summary: "Give a config other data, and the services that use it with it",
      load: () => import("./config/rotate.ts"),
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
      summary: "Show everything about secrets but their data, as JSON or for people",
      load: () => import("./secret/inspect.ts"),
    },
    {
      name: "rm",
      summary: "Remove secrets",
      aliases: ["remove"],
      load: () => import("./secret/rm.ts"),
    },
    {
      name: "update",
      summary: "Change a secret's labels",
      load: () => import("./secret/update.ts"),
    },
    {
      name: "rotate",
      summary: "Give a secret other data, and the services that use it with it",
      load: () => import("./secret/rotate.ts"),
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
