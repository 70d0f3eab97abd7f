/**
 * Refuses fields that the product does not act on yet, so that nothing which a user asks for is silently ignored. What is
 * supported is listed; a field that is added to the contract is therefore refused until somebody lists it here too.
 */
import type { DescMessage, Message } from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { Fault } from "#proto/fault.ts";

/** Field names by message. Google's own messages are values. */
const supported: Readonly<Record<string, readonly string[]>> = {
  "swarm.v1.Annotations": ["name", "labels"],
  "swarm.v1.ServiceSpec": [
    "annotations",
    "task",
    "replicated",
    "global",
    "replicated_job",
    "global_job",
    "schedule",
    "autoscale",
    "depends_on",
    "update",
    "rollback",
    "endpoint",
  ],
  "swarm.v1.UpdateConfig": [
    "parallelism",
    "delay",
    "failure_action",
    "monitor",
    "max_failure_ratio",
    "order",
    "progress_deadline",
    "canary",
    "canary_promote_after",
  ],
  "swarm.v1.ReplicatedService": ["replicas"],
  "swarm.v1.ReplicatedJob": ["max_concurrent", "total_completions"],
  "swarm.v1.JobSchedule": [
    "cron",
    "time_zone",
    "overlap",
    "keep_completed",
    "keep_failed",
    "suspended",
    "starting_deadline",
  ],
  "swarm.v1.Dependency": ["service", "condition", "optional"],
  "swarm.v1.Autoscale": [
    "min_replicas",
    "max_replicas",
    "cpu_percent",
    "memory_percent",
    "scale_down_after",
    "scale_up_after",
  ],
  "swarm.v1.EndpointSpec": ["mode", "ports", "affinity"],
  "swarm.v1.PortConfig": [
    "name",
    "protocol",
    "target_port",
    "published_port",
    "publish_mode",
    "host_ip",
  ],
  "swarm.v1.TaskSpec": [
    "container",
    "resources",
    "restart",
    "log_driver",
    "networks",
    "force_update",
    "placement",
    "priority",
  ],
  "swarm.v1.Placement": ["constraints", "preferences", "platforms", "max_replicas"],
  "swarm.v1.PlacementPreference": ["spread"],
  "swarm.v1.SpreadOver": ["spread_descriptor"],
  "swarm.v1.Platform": ["architecture", "os"],
  "swarm.v1.ResourceRequirements": ["limits", "reservations", "swap_bytes", "memory_swappiness"],
  "swarm.v1.Resources": ["nano_cpus", "memory_bytes", "generic"],
  "swarm.v1.GenericResource": ["named", "discrete"],
  "swarm.v1.NamedGenericResource": ["kind", "value"],
  "swarm.v1.DiscreteGenericResource": ["kind", "value"],
  "swarm.v1.RestartPolicy": ["condition", "delay", "max_attempts", "window"],
  "swarm.v1.NetworkAttachmentConfig": ["target", "aliases", "addresses"],
  "swarm.v1.ContainerSpec": [
    "image",
    "image_platforms",
    "labels",
    "command",
    "args",
    "hostname",
    "env",
    "dir",
    "user",
    "groups",
    "privileges",
    "read_only",
    "stop_signal",
    "mounts",
    "pull_options",
    "secrets",
    "configs",
    "stop_grace_period",
    "stop_delay",
    "healthcheck",
    "hosts",
    "dns_config",
    "pids_limit",
    "sysctls",
    "capability_add",
    "capability_drop",
    "ulimits",
    "oom_score_adj",
    "shm_size_bytes",
    "init",
    "tty",
    "open_stdin",
    // For a refusal that says why.
    "isolation",
    "privileged",
    "devices",
    "pid_mode",
    "ipc_mode",
    "userns_mode",
    "cgroup_parent",
  ],
  "swarm.v1.Device": ["path_on_host", "path_in_container", "cgroup_permissions"],
  "swarm.v1.Privileges": [
    "credential_spec",
    "selinux_context",
    "seccomp",
    "apparmor",
    "no_new_privileges",
  ],
  // For a refusal that says why.
  "swarm.v1.CredentialSpec": ["file", "registry", "config"],
  "swarm.v1.SelinuxContext": ["disable", "user", "role", "type", "level"],
  "swarm.v1.SeccompOptions": ["mode", "profile"],
  "swarm.v1.AppArmorOptions": ["mode", "profile"],
  "swarm.v1.HealthConfig": [
    "test",
    "interval",
    "timeout",
    "retries",
    "start_period",
    "start_interval",
  ],
  "swarm.v1.PullOptions": ["registry_auth"],
  "swarm.v1.DnsConfig": ["nameservers", "search", "options"],
  "swarm.v1.Ulimit": ["name", "soft", "hard"],
  "swarm.v1.Mount": [
    "type",
    "source",
    "target",
    "read_only",
    "consistency",
    "bind_options",
    "volume_options",
    "tmpfs_options",
  ],
  "swarm.v1.BindOptions": [
    "propagation",
    "non_recursive",
    "create_mountpoint",
    "read_only_non_recursive",
    "read_only_force_recursive",
  ],
  "swarm.v1.VolumeOptions": ["no_copy", "labels", "driver_config", "subpath"],
  "swarm.v1.TmpfsOptions": ["size_bytes", "mode", "options"],
  "swarm.v1.NetworkSpec": [
    "annotations",
    "driver_config",
    "ipv6_enabled",
    "internal",
    "ipam",
    "attachable",
    "ingress",
    "encrypted",
  ],
  "swarm.v1.Driver": ["name", "options"],
  "swarm.v1.IpamOptions": ["configs"],
  "swarm.v1.IpamConfig": ["family", "subnet", "range", "gateway", "reserved"],
  "swarm.v1.NodeSpec": [
    "annotations",
    "desired_role",
    "membership",
    "availability",
    "drain_at_once",
  ],
  "swarm.v1.ConfigSpec": ["annotations", "data", "templating"],
  "swarm.v1.SecretSpec": ["annotations", "data", "templating"],
  "swarm.v1.SecretReference": ["secret_id", "secret_name", "file"],
  "swarm.v1.ConfigReference": ["config_id", "config_name", "file"],
  "swarm.v1.FileTarget": ["name", "uid", "gid", "mode"],
  "swarm.v1.ClusterSpec": [
    "annotations",
    "orchestration",
    "dispatcher",
    "ca",
    "encryption",
    "network",
    "scheduling",
    "task_defaults",
    "backup",
    "raft",
  ],
  "swarm.v1.RaftConfig": ["snapshot_interval", "keep_old_snapshots"],
  "swarm.v1.BackupConfig": ["schedule", "folder", "keep"],
  "swarm.v1.SchedulingConfig": ["strategy", "preemption", "auto_rebalance"],
  "swarm.v1.CaConfig": ["node_cert_expiry", "signing_ca_cert", "signing_ca_key", "force_rotate"],
  "swarm.v1.TaskDefaults": ["log_driver"],
  "swarm.v1.EncryptionConfig": [
    "auto_lock_managers",
    "network_key_period",
    "network_key_rotations",
  ],
  "swarm.v1.OrchestrationConfig": ["task_history_retention_limit"],
  "swarm.v1.DispatcherConfig": ["heartbeat_period"],
  "swarm.v1.NetworkConfig": ["default_address_pools", "subnet_size", "data_path_port", "encrypted"],
};

export function refuseUnsupported(schema: DescMessage, message: Message): void {
  refuseFields(reflect(schema, message), "");
}

function refuseFields(message: ReflectMessage, path: string): void {
  const [unknown] = message.getUnknown() ?? [];
  if (unknown !== undefined) {
    const where = path === "" ? "the spec" : path;
    const text = `${where} has the field number ${unknown.no}, which this manager does not know: upgrade the manager`;
    throw new Fault("invalid-argument", text);
  }
  for (const field of message.desc.fields) {
    if (!message.isSet(field)) continue;
    const fieldPath = path === "" ? field.name : `${path}.${field.name}`;
    if (!supported[message.desc.typeName]?.includes(field.name)) {
      throw new Fault("unimplemented", `${fieldPath} is not supported yet: leave it out`);
    }
    if (field.fieldKind === "message") descend(message.get(field), fieldPath);
    if (field.fieldKind === "list" && field.listKind === "message") {
      for (const [index, item] of [...message.get(field)].entries()) {
        descend(item as ReflectMessage, `${fieldPath}[${index}]`);
      }
    }
  }
}

function descend(message: ReflectMessage, path: string): void {
  if (!message.desc.typeName.startsWith("google.protobuf.")) refuseFields(message, path);
}
