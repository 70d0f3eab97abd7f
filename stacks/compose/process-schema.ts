/** What a service of a stack file may say of its containers and their host, as JSON Schemas. */
import {
  amount,
  choice,
  command,
  count,
  cpus,
  duration,
  flag,
  list,
  listOf,
  map,
  name,
  named,
  number,
  pairs,
  scalar,
  text,
  texts,
  whole,
  word,
  words,
} from "./schema-parts.ts";

const ulimit = {
  ...map({ soft: whole, hard: whole }, ["soft", "hard"]),
  type: ["integer", "object"],
  description: "a whole number, or a map of soft and hard",
};

const healthcheck = map({
  disable: flag,
  test: words,
  interval: duration,
  timeout: duration,
  start_period: duration,
  start_interval: duration,
  retries: { ...count, maximum: 1_000_000 },
});

const hook = map({ command, user: word, privileged: flag, working_dir: text, environment: pairs }, [
  "command",
]);

const device = map({ source: text, target: text, permissions: text }, ["source"]);

const deviceRequest = map({
  capabilities: texts,
  count: word,
  device_ids: texts,
  driver: text,
  options: pairs,
});

export const deviceRequests = list(deviceRequest, "a list of requests for devices");

export const processSchema = {
  annotations: pairs,
  command,
  entrypoint: command,
  environment: pairs,
  env_file: {
    ...listOf(map({ path: name, required: flag, format: choice("raw") }, ["path"]), ""),
    type: ["string", "array"],
    description: "a file, or a list of files",
  },
  group_add: list(word, "a list of groups"),
  healthcheck,
  hostname: text,
  image: { type: "string", minLength: 1, description: "the name of an image" },
  init: flag,
  label_file: words,
  labels: pairs,
  logging: map({
    driver: text,
    options: named({ ...scalar, type: [...scalar.type, "null"] }),
  }),
  oom_score_adj: whole,
  platform: text,
  post_start: list(hook, "a list of hooks"),
  pre_start: list(hook, "a list of hooks"),
  pre_stop: list(hook, "a list of hooks"),
  profiles: texts,
  pull_policy: text,
  read_only: flag,
  restart: text,
  stdin_open: flag,
  stop_grace_period: duration,
  stop_signal: text,
  tty: flag,
  ulimits: named(ulimit),
  user: word,
  working_dir: text,
} as const;

const rate = list(map({ path: text, rate: word }), "a list of devices");

export const hostSchema = {
  blkio_config: map({
    device_read_bps: rate,
    device_read_iops: rate,
    device_write_bps: rate,
    device_write_iops: rate,
    weight: whole,
    weight_device: list(map({ path: text, weight: whole }), "a list of devices"),
  }),
  cap_add: texts,
  cap_drop: texts,
  cgroup: choice("host", "private"),
  cgroup_parent: text,
  cgroupns_mode: text,
  cpu_count: number,
  cpu_percent: number,
  cpu_period: amount,
  cpu_quota: amount,
  cpu_rt_period: amount,
  cpu_rt_runtime: amount,
  cpu_shares: number,
  cpus,
  cpuset: text,
  credential_spec: map({ config: text, file: text, registry: text }),
  device_cgroup_rules: texts,
  devices: listOf(device, "a list of devices"),
  gpus: { ...deviceRequests, type: ["string", "array"], description: "all, or a list of requests" },
  ipc: text,
  isolation: text,
  mem_limit: amount,
  mem_reservation: amount,
  mem_swappiness: whole,
  memswap_limit: amount,
  oom_kill_disable: flag,
  pid: { type: ["string", "null"], description: "a string" },
  pids_limit: whole,
  privileged: flag,
  runtime: text,
  security_opt: texts,
  shm_size: amount,
  storage_opt: named(scalar),
  sysctls: pairs,
  userns_mode: text,
  uts: text,
} as const;
