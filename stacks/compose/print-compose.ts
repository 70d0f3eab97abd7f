/**
 * A loaded stack file → YAML in the order of Docker's own normal form: services and other names by name, keys of a service
 * as its reference lists them. What is printed can be read again and gives the same.
 */
import { dump } from "js-yaml";
import type { ComposeContent } from "./compose-file.ts";

/** The order of a map's keys, and of what is inside of them. In a map without a layout keys are sorted. */
interface Layout {
  readonly [key: string]: Layout;
}

const sorted: Layout = {};

function inOrder(keys: string): Layout {
  return Object.fromEntries(keys.split(" ").map((key) => [key, sorted]));
}

const update = inOrder("parallelism delay failure_action monitor max_failure_ratio order");

const deploy: Layout = {
  ...inOrder("mode replicas labels"),
  update_config: update,
  rollback_config: update,
  resources: {
    limits: inOrder("cpus memory pids"),
    reservations: inOrder("cpus memory generic_resources"),
  },
  restart_policy: inOrder("condition delay max_attempts window"),
  placement: inOrder("constraints preferences max_replicas_per_node"),
  endpoint_mode: sorted,
};

const reference = inOrder("source target uid gid mode");

const service: Layout = {
  ...inOrder("build cap_add cap_drop cgroupns_mode cgroup_parent command"),
  configs: reference,
  ...inOrder("container_name credential_spec depends_on"),
  deploy,
  ...inOrder("devices dns dns_search domainname entrypoint environment"),
  ...inOrder("expose external_links extra_hosts hostname"),
  healthcheck: inOrder("test timeout interval retries start_period start_interval disable"),
  ...inOrder("image init ipc isolation labels links"),
  logging: inOrder("driver options"),
  ...inOrder("mac_address network_mode"),
  networks: { "*": inOrder("aliases driver_opts ipv4_address ipv6_address") },
  pid: sorted,
  ports: inOrder("mode target published protocol host_ip name"),
  ...inOrder("privileged read_only restart"),
  secrets: reference,
  ...inOrder("security_opt shm_size stdin_open stop_grace_period stop_signal"),
  ...inOrder("sysctls tmpfs tty"),
  ulimits: { "*": inOrder("soft hard") },
  ...inOrder("user userns_mode"),
  volumes: inOrder("type source target read_only consistency bind volume tmpfs"),
  working_dir: sorted,
};

const file = inOrder("name file external labels driver driver_opts");

const layout: Layout = {
  ...inOrder("version name"),
  services: { "*": service },
  networks: {
    "*": {
      ...inOrder("name driver driver_opts"),
      ipam: inOrder("driver config options"),
      ...inOrder("external internal attachable labels"),
    },
  },
  volumes: { "*": inOrder("name driver driver_opts external labels") },
  secrets: { "*": file },
  configs: { "*": file },
};

interface PrintOptions {
  /** Whether a dollar sign stands for itself, and is written so that it is one when it is read again. */
  readonly escape: boolean;
}

export function printCompose(content: ComposeContent, { escape }: PrintOptions): string {
  const { services } = content;
  const listed = Object.entries(services).map(([name, entry]) => [name, shortDependencies(entry)]);
  const value = arrange({ ...content, services: Object.fromEntries(listed) }, layout);
  return dump(escape ? escapeDollars(value) : value, {
    lineWidth: -1,
    noRefs: true,
    quoteStyle: "double",
  });
}

/** As a list, where nothing is waited for but the start, which is how Docker has them. */
function shortDependencies(entry: ComposeContent["services"][string]): object {
  const dependencies = Object.entries(entry.depends_on ?? {});
  const isPlain = dependencies.every(
    ([, one]) => one.condition === "service_started" && Object.keys(one).length === 1,
  );
  if (dependencies.length === 0 || !isPlain) return entry;
  return { ...entry, depends_on: dependencies.map(([name]) => name) };
}

function arrange(value: unknown, order: Layout): unknown {
  if (Array.isArray(value)) return value.map((item) => arrange(item, order));
  if (typeof value !== "object" || value === null) return value;
  const known = Object.keys(order);
  const rank = (key: string) => {
    if (key.startsWith("x-")) return known.length + 1;
    const at = known.indexOf(key);
    return at < 0 ? known.length : at;
  };
  const entries = Object.entries(value).toSorted(
    ([a], [b]) => rank(a) - rank(b) || (a < b ? -1 : 1),
  );
  return Object.fromEntries(
    entries.map(([key, child]) => {
      const inner = Object.hasOwn(order, key) ? order[key] : order["*"];
      return [key, arrange(child, inner ?? sorted)];
    }),
  );
}

function escapeDollars(value: unknown): unknown {
  if (typeof value === "string") return value.replaceAll("$", () => "$$");
  if (Array.isArray(value)) return value.map(escapeDollars);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, child]) => [key, escapeDollars(child)]),
  );
}
