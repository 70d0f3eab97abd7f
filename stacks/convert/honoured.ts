/**
 * The keys of the file format that become something in a cluster. The format has more: those are refused by name and
 * place, or the loader has said why they are not heeded. A key is added here when something is made of it.
 */
import { unheededKeys } from "../compose/cluster-keys.ts";
import { Reader, type StackContext } from "./reader.ts";

/** Keys with what is inside of them: `true` is anything, `"*"` any key. A list is looked at item by item. */
type Shape = true | { readonly [key: string]: Shape };

function keys(words: string): Record<string, true> {
  return Object.fromEntries(words.split(/\s+/).map((word) => [word, true]));
}

const fileReference = keys("source target uid gid mode");
const amounts = keys("cpus memory");

const deploy: Shape = {
  ...keys("mode replicas labels endpoint_mode restart_policy update_config rollback_config"),
  placement: keys("constraints preferences max_replicas_per_node"),
  resources: {
    limits: { ...amounts, pids: true },
    reservations: { ...amounts, generic_resources: true },
  },
};

const service: Shape = {
  ...keys(`image command entrypoint environment labels hostname healthcheck init logging user group_add
    working_dir platform pull_policy read_only restart stdin_open stop_grace_period stop_signal tty ulimits
    oom_score_adj annotations depends_on extra_hosts profiles scale tmpfs network_mode
    cap_add cap_drop cgroup_parent cpus devices dns dns_opt dns_search ipc isolation mem_limit mem_reservation
    memswap_limit mem_swappiness pid pids_limit privileged security_opt shm_size sysctls userns_mode`),
  deploy,
  configs: fileReference,
  secrets: fileReference,
  networks: { "*": keys("aliases ipv4_address ipv6_address driver_opts") },
  ports: keys("target published protocol mode host_ip name"),
  volumes: {
    ...keys("type source target read_only consistency"),
    bind: keys("propagation create_host_path recursive"),
    volume: keys("nocopy subpath labels"),
    tmpfs: keys("size mode"),
  },
};

const file = keys(
  "name external file environment content labels driver driver_opts template_driver",
);

const stack: Shape = {
  ...keys("version name"),
  services: { "*": { ...service, ...keys(Object.keys(unheededKeys).join(" ")) } },
  networks: {
    "*": {
      ...keys(
        "name driver driver_opts internal attachable external enable_ipv4 enable_ipv6 labels",
      ),
      ipam: { ...keys("driver options"), config: keys("subnet gateway ip_range aux_addresses") },
    },
  },
  volumes: { "*": keys("name external driver driver_opts labels") },
  secrets: { "*": file },
  configs: { "*": file },
};

/** Throws for the first key that nothing is made of. */
export function refuseUnhonoured(context: StackContext): void {
  visit(new Reader(context, []), context.content, stack);
}

function visit(reader: Reader, value: unknown, shape: Shape): void {
  if (shape === true || typeof value !== "object" || value === null) return;
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) visit(reader.under(String(index)), item, shape);
    return;
  }
  for (const [key, child] of Object.entries(value)) {
    const inner = (Object.hasOwn(shape, key) ? shape[key] : undefined) ?? shape["*"];
    if (inner !== undefined) visit(reader.under(key), child, inner);
    else if (!key.startsWith("x-")) throw reader.under(key).fault("is not supported");
  }
}
