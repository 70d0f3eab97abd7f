/** What a service of a stack file may say of its containers and their host: its keys' JSON Schemas and their types. */
import { limitRows } from "#proto/kernel-names.ts";
import { flag, text, word, words } from "./schema-parts.ts";

const whole = { type: "integer", description: "a whole number" } as const;
const texts = { type: "array", items: text, description: "a list of strings" } as const;
const amount = { type: ["string", "number"], description: "an amount such as 64m" } as const;
const cpus = { type: ["string", "number"], description: "a number of CPUs such as 0.5" } as const;

const ulimit = {
  type: ["integer", "object"],
  properties: { soft: whole, hard: whole },
  required: ["soft", "hard"],
  additionalProperties: false,
  description: "a whole number, or a map of soft and hard",
} as const;

export const containerSchema = {
  cap_add: texts,
  cap_drop: texts,
  cgroup_parent: text,
  devices: texts,
  dns: words,
  dns_opt: texts,
  dns_search: words,
  extra_hosts: {
    type: ["array", "object"],
    items: text,
    additionalProperties: text,
    description: "a list of NAME:IP or a map",
  },
  group_add: { type: "array", items: word, description: "a list of groups" },
  init: flag,
  ipc: text,
  oom_score_adj: whole,
  pid: text,
  privileged: flag,
  read_only: flag,
  security_opt: texts,
  shm_size: amount,
  stdin_open: flag,
  stop_grace_period: { type: "string", description: "a duration such as 5s" },
  stop_signal: text,
  sysctls: {
    type: ["object", "array"],
    additionalProperties: { type: ["string", "number"], description: "a string or number" },
    items: { type: "string", pattern: "^[^=]+=", description: "NAME=value" },
    description: "a map or a list of NAME=value",
  },
  tty: flag,
  ulimits: {
    type: "object",
    properties: Object.fromEntries(Object.values(limitRows).map((name) => [name, ulimit])),
    additionalProperties: false,
    description: "a map",
  },
  user: word,
  userns_mode: text,
  working_dir: text,
} as const;

const amounts = { cpus, memory: amount };

export const resourcesSchema = {
  limits: { ...amounts, pids: { ...whole, minimum: 0 } },
  reservations: amounts,
} as const;
