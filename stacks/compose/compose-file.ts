/**
 * A loaded stack file as a value, in its normal form: every file read, merged and interpolated; maps and long forms where
 * the format also has lists and short forms; relative paths made absolute. `normal-form.ts` makes it.
 */
import type { YamlDocument } from "#proto/yaml/document.ts";
import type { DeployExtensions, ServiceExtensions, UpdateExtensions } from "./extensions.ts";

/** What loading gives: what the file says, and where each part of it was written. */
export interface ComposeFile {
  readonly content: ComposeContent;
  readonly document: YamlDocument;
  /** What the file says and a cluster does not heed, each with its place. */
  readonly warnings: readonly string[];
}

export interface ComposeContent {
  readonly version?: string | number;
  readonly name?: string;
  readonly services: Readonly<Record<string, ServiceEntry>>;
  readonly networks?: Readonly<Record<string, NetworkEntry>>;
  readonly volumes?: Readonly<Record<string, VolumeEntry>>;
  readonly secrets?: Readonly<Record<string, FileEntry>>;
  readonly configs?: Readonly<Record<string, FileEntry>>;
}

type Pairs = Readonly<Record<string, string>>;

export interface ServiceEntry extends ProcessEntry, HostEntry, ServiceExtensions {
  readonly configs?: readonly FileReferenceEntry[];
  readonly depends_on?: Readonly<Record<string, DependencyEntry>>;
  readonly deploy?: DeployEntry;
  readonly networks?: Readonly<Record<string, AttachmentEntry | null>>;
  readonly network_mode?: string;
  readonly ports?: readonly PortEntry[];
  readonly scale?: number;
  readonly secrets?: readonly FileReferenceEntry[];
  /** `TARGET[:OPTIONS]` */
  readonly tmpfs?: readonly string[];
  readonly volumes?: readonly MountEntry[];
}

interface ProcessEntry {
  readonly annotations?: Pairs;
  /** Null where the image's own shall stay. */
  readonly command?: readonly string[] | null;
  readonly entrypoint?: readonly string[] | null;
  /** With what env files say. Null where a variable has no value, and the shell has none for it. */
  readonly environment?: Readonly<Record<string, string | null>>;
  readonly group_add?: readonly string[];
  readonly healthcheck?: HealthcheckEntry;
  readonly hostname?: string;
  readonly image?: string;
  readonly init?: boolean;
  readonly labels?: Pairs;
  readonly logging?: { readonly driver?: string; readonly options?: Pairs };
  readonly oom_score_adj?: number;
  readonly platform?: string;
  readonly pull_policy?: string;
  readonly read_only?: boolean;
  readonly restart?: string;
  readonly stdin_open?: boolean;
  readonly stop_grace_period?: string;
  readonly stop_signal?: string;
  readonly tty?: boolean;
  readonly ulimits?: Readonly<
    Record<string, number | { readonly soft: number; readonly hard: number }>
  >;
  readonly user?: string;
  readonly working_dir?: string;
}

interface HostEntry {
  readonly cap_add?: readonly string[];
  readonly cap_drop?: readonly string[];
  readonly cgroup_parent?: string;
  readonly cpus?: string;
  /** `PATH[:PATH[:rwm]]` */
  readonly devices?: readonly string[];
  readonly dns?: readonly string[];
  readonly dns_opt?: readonly string[];
  readonly dns_search?: readonly string[];
  /** `NAME:IP` */
  readonly extra_hosts?: readonly string[];
  readonly ipc?: string;
  readonly isolation?: string;
  /** Sizes in bytes. */
  readonly mem_limit?: string;
  readonly mem_reservation?: string;
  readonly mem_swappiness?: number;
  readonly memswap_limit?: string;
  readonly pid?: string | null;
  readonly pids_limit?: number;
  readonly privileged?: boolean;
  readonly security_opt?: readonly string[];
  readonly shm_size?: string;
  readonly sysctls?: Pairs;
  readonly userns_mode?: string;
}

/** Durations are in Go's notation. */
export interface HealthcheckEntry {
  readonly disable?: boolean;
  /** The first word says what it is: NONE, CMD or CMD-SHELL. */
  readonly test?: readonly string[];
  readonly interval?: string;
  readonly timeout?: string;
  readonly start_period?: string;
  readonly start_interval?: string;
  readonly retries?: number;
}

interface DependencyEntry {
  readonly condition: "service_started" | "service_healthy" | "service_completed_successfully";
  readonly required?: boolean;
  readonly restart?: boolean;
}

export interface DeployEntry extends DeployExtensions {
  readonly mode?: "replicated" | "global" | "replicated-job" | "global-job";
  readonly endpoint_mode?: "vip" | "dnsrr";
  readonly replicas?: number;
  readonly labels?: Pairs;
  readonly resources?: {
    readonly limits?: ResourcesEntry & { readonly pids?: number };
    readonly reservations?: ResourcesEntry & {
      readonly generic_resources?: readonly GenericResourceEntry[];
    };
  };
  readonly restart_policy?: RestartPolicyEntry;
  readonly rollback_config?: UpdateEntry;
  readonly update_config?: UpdateEntry;
  readonly placement?: {
    readonly constraints?: readonly string[];
    readonly preferences?: readonly { readonly spread?: string }[];
    readonly max_replicas_per_node?: number;
  };
}

interface ResourcesEntry {
  readonly cpus?: string;
  /** In bytes. */
  readonly memory?: string;
}

export interface GenericResourceEntry {
  readonly discrete_resource_spec?: { readonly kind?: string; readonly value?: number };
}

interface RestartPolicyEntry {
  readonly condition?: "none" | "on-failure" | "any";
  readonly delay?: string;
  readonly max_attempts?: number;
  readonly window?: string;
}

export interface UpdateEntry extends UpdateExtensions {
  readonly parallelism?: number;
  readonly delay?: string;
  readonly failure_action?: "pause" | "continue" | "rollback";
  readonly monitor?: string;
  readonly max_failure_ratio?: number;
  readonly order?: "stop-first" | "start-first";
}

interface AttachmentEntry {
  readonly aliases?: readonly string[];
  /** One for each replica. */
  readonly ipv4_address?: string | readonly string[];
  readonly ipv6_address?: string | readonly string[];
  readonly driver_opts?: Pairs;
}

export interface PortEntry {
  readonly target: number;
  /** A string where it is a range. */
  readonly published?: number | string;
  readonly protocol?: "tcp" | "udp" | "sctp";
  readonly mode?: "ingress" | "host";
  readonly host_ip?: string;
  readonly name?: string;
  readonly app_protocol?: string;
}

export interface MountEntry {
  readonly type: "bind" | "volume" | "tmpfs" | "npipe" | "cluster" | "image";
  readonly source?: string;
  readonly target?: string;
  readonly read_only?: boolean;
  readonly consistency?: string;
  readonly bind?: {
    readonly propagation?: string;
    readonly create_host_path?: boolean;
    readonly recursive?: "enabled" | "disabled" | "writable" | "readonly";
    readonly selinux?: "z" | "Z";
  };
  readonly volume?: {
    readonly nocopy?: boolean;
    readonly subpath?: string;
    readonly labels?: Pairs;
  };
  /** The mode in octal digits. */
  readonly tmpfs?: { readonly size?: string | number; readonly mode?: string };
}

export interface FileReferenceEntry {
  readonly source: string;
  readonly target?: string;
  readonly uid?: string;
  readonly gid?: string;
  /** In octal digits. */
  readonly mode?: string;
}

export interface SubnetEntry {
  readonly subnet?: string;
  readonly gateway?: string;
  readonly ip_range?: string;
  readonly aux_addresses?: Readonly<Record<string, string>>;
}

/** What is external has its name in the cluster in `name`. */
export interface NetworkEntry {
  readonly name?: string;
  readonly driver?: string;
  readonly internal?: boolean;
  readonly attachable?: boolean;
  readonly external?: boolean;
  readonly enable_ipv4?: boolean;
  readonly enable_ipv6?: boolean;
  readonly driver_opts?: Pairs;
  readonly labels?: Pairs;
  readonly ipam?: {
    readonly driver?: string;
    readonly config?: readonly SubnetEntry[];
    readonly options?: Pairs;
  };
}

interface VolumeEntry {
  readonly name?: string;
  readonly external?: boolean;
  readonly driver?: string;
  readonly driver_opts?: Pairs;
  readonly labels?: Pairs;
}

export interface FileEntry {
  readonly name?: string;
  readonly external?: boolean;
  readonly file?: string;
  readonly environment?: string;
  readonly content?: string;
  readonly labels?: Pairs;
  readonly driver?: string;
  readonly driver_opts?: Pairs;
  readonly template_driver?: string;
}
