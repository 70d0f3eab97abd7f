/** A loaded stack file as a value: its services, networks, volumes, secrets and configs, with the keys that the file format has. */
import type { ComposeDocument } from "./document.ts";

type Word = string | number;
type Scalar = string | number | boolean;
export type Pairs = Readonly<Record<string, Scalar>> | readonly string[];
type Words = string | readonly string[];

export interface RestartPolicyEntry {
  readonly condition?: "none" | "on-failure" | "any";
  readonly delay?: string;
  readonly max_attempts?: number;
  readonly window?: string;
}

export interface UpdateEntry {
  readonly parallelism?: number;
  readonly delay?: string;
  readonly failure_action?: "pause" | "continue" | "rollback";
  readonly monitor?: string;
  readonly max_failure_ratio?: number;
  readonly order?: "stop-first" | "start-first";
  /** Ours; the file format has none. */
  readonly "x-progress-deadline"?: string;
}

interface LoggingEntry {
  readonly driver?: string;
  readonly options?: Readonly<Record<string, Scalar>>;
}

interface DeployEntry {
  readonly endpoint_mode?: "vip" | "dnsrr";
  readonly replicas?: number;
  readonly resources?: {
    readonly limits?: ResourcesEntry & { readonly pids?: number };
    readonly reservations?: ResourcesEntry;
  };
  readonly restart_policy?: RestartPolicyEntry;
  readonly rollback_config?: UpdateEntry;
  readonly update_config?: UpdateEntry;
}

export interface ServiceEntry extends ContainerEntry, ServiceFilesEntry {
  readonly image: string;
  readonly command?: Words;
  readonly entrypoint?: Words;
  readonly environment?: Pairs;
  readonly healthcheck?: HealthcheckEntry;
  readonly hostname?: string;
  readonly logging?: LoggingEntry;
  readonly networks?: readonly string[] | Readonly<Record<string, AttachmentEntry | null>>;
  readonly ports?: readonly (string | number | PortEntry)[];
  readonly deploy?: DeployEntry;
}

export interface AttachmentEntry {
  readonly aliases?: readonly string[];
  readonly ipv4_address?: Words;
  readonly ipv6_address?: Words;
}

export interface SubnetEntry {
  readonly subnet: string;
  readonly gateway?: string;
  readonly ip_range?: string;
  readonly aux_addresses?: Readonly<Record<string, string>>;
}

export interface NetworkEntry {
  readonly name?: string;
  readonly driver?: string;
  readonly internal?: boolean;
  readonly attachable?: boolean;
  readonly external?: boolean;
  readonly enable_ipv6?: boolean;
  readonly driver_opts?: Readonly<Record<string, Scalar>>;
  readonly labels?: Pairs;
  readonly ipam?: { readonly config?: readonly SubnetEntry[] };
}

export interface ComposeContent extends TopFilesEntry {
  readonly services: Readonly<Record<string, ServiceEntry>>;
  readonly networks?: Readonly<Record<string, NetworkEntry | null>>;
}

/** What loading gives: what the file says, and where each part of it was written. */
export interface ComposeFile {
  readonly content: ComposeContent;
  readonly document: ComposeDocument;
}

type ListOrMap = readonly string[] | Readonly<Record<string, string | number | boolean>>;

export interface ResourcesEntry {
  readonly cpus?: Word;
  readonly memory?: Word;
}

export interface ContainerEntry {
  readonly cap_add?: readonly string[];
  readonly cap_drop?: readonly string[];
  readonly cgroup_parent?: string;
  readonly devices?: readonly string[];
  readonly dns?: string | readonly string[];
  readonly dns_opt?: readonly string[];
  readonly dns_search?: string | readonly string[];
  readonly extra_hosts?: readonly string[] | Readonly<Record<string, string>>;
  readonly group_add?: readonly Word[];
  readonly init?: boolean;
  readonly ipc?: string;
  readonly oom_score_adj?: number;
  readonly pid?: string;
  readonly privileged?: boolean;
  readonly read_only?: boolean;
  readonly security_opt?: readonly string[];
  readonly shm_size?: Word;
  readonly stdin_open?: boolean;
  readonly stop_grace_period?: string;
  readonly stop_signal?: string;
  readonly sysctls?: ListOrMap;
  readonly tty?: boolean;
  readonly ulimits?: Readonly<
    Record<string, number | { readonly soft: number; readonly hard: number }>
  >;
  readonly user?: Word;
  readonly userns_mode?: string;
  readonly working_dir?: string;
}

export interface MountEntry {
  readonly type: "bind" | "volume" | "tmpfs" | "npipe" | "cluster";
  readonly source?: string;
  readonly target: string;
  readonly read_only?: boolean;
  readonly consistency?: string;
  readonly bind?: {
    readonly propagation?: string;
    readonly create_host_path?: boolean;
    readonly recursive?: "enabled" | "disabled" | "writable" | "readonly";
  };
  readonly volume?: { readonly nocopy?: boolean; readonly subpath?: string };
  readonly tmpfs?: { readonly size?: string | number; readonly mode?: string | number };
}

export interface FileReferenceEntry {
  readonly source: string;
  readonly target?: string;
  readonly uid?: string;
  readonly gid?: string;
  readonly mode?: string | number;
}

/** A service's part. */
export interface ServiceFilesEntry {
  readonly volumes?: readonly (string | MountEntry)[];
  readonly tmpfs?: string | readonly string[];
  readonly secrets?: readonly (string | FileReferenceEntry)[];
  readonly configs?: readonly (string | FileReferenceEntry)[];
}

export type ExternalEntry = boolean | { readonly name?: string };

export interface VolumeEntry {
  readonly name?: string;
  readonly external?: ExternalEntry;
  readonly driver?: string;
  readonly driver_opts?: Readonly<Record<string, Scalar>>;
  readonly labels?: Pairs;
}

export interface FileEntry {
  readonly name?: string;
  readonly external?: ExternalEntry;
  readonly file?: string;
  readonly environment?: string;
  readonly content?: string;
  readonly labels?: Pairs;
  readonly template_driver?: string;
}

/** The file's part. */
export interface TopFilesEntry {
  readonly volumes?: Readonly<Record<string, VolumeEntry | null>>;
  readonly secrets?: Readonly<Record<string, FileEntry | null>>;
  readonly configs?: Readonly<Record<string, FileEntry | null>>;
}

export interface HealthcheckEntry {
  readonly disable?: boolean;
  /** A string is for a shell; a list says by its first word what it is. */
  readonly test?: string | readonly string[];
  readonly interval?: string;
  readonly timeout?: string;
  readonly start_period?: string;
  readonly start_interval?: string;
  readonly retries?: number;
}

export interface PortEntry {
  readonly target: number;
  readonly published?: number | string;
  readonly protocol?: "tcp" | "udp" | "sctp";
  readonly mode?: "ingress" | "host";
  readonly host_ip?: string;
  readonly name?: string;
}
