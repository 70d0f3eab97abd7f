/** The commands that are about what nodes hold and about this machine: volumes, images, contexts, and those without a noun. */
import type { CommandFile, Noun } from "./command-file.ts";

export const volume: Noun = {
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

export const context: Noun = {
  name: "context",
  summary: "Reach clusters from this host",
  verbs: [
    {
      name: "create",
      summary: "Get a certificate from a cluster and keep how to reach it",
      load: () => import("./context/create.ts"),
    },
    {
      name: "update",
      summary: "Renew a context's certificate and its managers' addresses",
      load: () => import("./context/update.ts"),
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

export const image: Noun = {
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

export const system: Noun = {
  name: "system",
  summary: "See and free what nodes use of their disks, and check how they reach each other",
  verbs: [
    {
      name: "check",
      summary: "Check what hosts lack, and whether nodes reach each other",
      load: () => import("./system/check.ts"),
    },
    {
      name: "support-bundle",
      summary: "Write an archive that tells others how the cluster is, without its secrets",
      load: () => import("./system/support-bundle.ts"),
    },
    {
      name: "events",
      summary: "Show what happens in the cluster, as it happens",
      load: () => import("./events/events.ts"),
    },
    {
      name: "info",
      summary: "Show what this host is in its cluster",
      load: () => import("./cluster/info.ts"),
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
    {
      name: "dial-stdio",
      summary: "Carry input and output to a socket of this host",
      hidden: true,
      load: () => import("./system/dial-stdio.ts"),
    },
  ],
};

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
    name: "events",
    summary: "Show what happens in the cluster, as it happens",
    load: () => import("./events/events.ts"),
  },
  {
    name: "logs",
    summary: "Show what the containers of a service or task print",
    load: () => import("./service/logs.ts"),
  },
  {
    name: "info",
    summary: "Show what this host is in its cluster",
    load: () => import("./cluster/info.ts"),
  },
  {
    name: "top",
    summary: "Show what tasks and nodes use",
    aliases: ["stats"],
    load: () => import("./top/top.ts"),
  },
  {
    name: "completion",
    summary: "Print what a shell needs to complete swarmctl's words",
    load: () => import("./completion/completion.ts"),
  },
  {
    name: "version",
    summary: "Show the versions of swarmctl and of this host's swarmd",
    load: () => import("./version.ts"),
  },
  { name: "login", summary: "Log in to a registry", load: () => import("./login.ts") },
  { name: "logout", summary: "Forget the login at a registry", load: () => import("./logout.ts") },
];
