/** What a cluster's file says, with what it leaves out filled in. `docs/cluster-file.md` is the same for its authors. */
import type { ClusterOptions } from "./options.ts";

export interface SshSettings {
  /** Left out: what the user's configuration of ssh says, as with the others. */
  readonly user?: string;
  readonly port?: number;
  /** Paths, which do not begin with "~" any more and are absolute. */
  readonly key?: string;
  readonly config?: string;
  /** As for `ssh -J`. */
  readonly jump?: string;
  /** Absent: where the user is not root. */
  readonly sudo?: boolean;
}

export type Availability = "active" | "pause" | "drain";

export interface FileHost {
  readonly address: string;
  /** As messages call it: the name that the file gives, else the address. */
  readonly name: string;
  readonly isManager: boolean;
  /** All that the node shall have. Absent: the file does not say, and the node keeps what it has. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Whether its roles have worker. */
  readonly runsTasks: boolean;
  /** Absent: the file does not say, and the node keeps what it has. */
  readonly availability?: Availability;
  readonly interface?: string;
  readonly ssh: SshSettings;
}

export interface BackupSettings {
  readonly schedule?: string;
  readonly folder?: string;
  readonly keep?: number;
}

export interface ClusterFile {
  readonly cluster: string;
  readonly hosts: readonly FileHost[];
  /** For hosts that the file does not name (any more). */
  readonly ssh: SshSettings;
  readonly options: ClusterOptions;
  /** An absolute path. */
  readonly package?: string;
  readonly backup?: BackupSettings;
  /** What is allowed and unwise. */
  readonly warnings: readonly string[];
}
