/**
 * What swarmd and the manager, its child process, say to each other: one JSON object a line, on the manager's stdin and
 * stdout. Secrets go this way because nobody else can read it. The manager ends when its stdin does.
 */

import type { NodeAvailability } from "./gen/swarm/v1/types_pb.ts";

/** PEM. */
export interface TlsIdentity {
  /** With intermediates. */
  readonly certificate: string;
  readonly key: string;
  /** Every root to trust. */
  readonly caCertificates: string;
}

export type ManagerStart =
  /** The log is there. */
  | { readonly how: "resume" }
  /** A new cluster: the manager makes the root and this node's certificate from `csr`, and tells it. */
  | {
      readonly how: "found";
      readonly nodeId: string;
      readonly csr: string;
      /** ClusterSpec, NodeDescription in protobuf's JSON form. */
      readonly spec: unknown;
      readonly description: unknown;
      readonly availability: NodeAvailability;
    }
  /** Becomes a member of the managers' group through one of these, HOST:PORT. */
  | { readonly how: "join"; readonly managers: readonly string[] }
  /** Goes on alone with what the log holds. */
  | { readonly how: "force-new-cluster" }
  /** As "found", with the state of a backup's file instead of an empty one. */
  | {
      readonly how: "restore";
      readonly nodeId: string;
      readonly csr: string;
      readonly description: unknown;
      readonly path: string;
      readonly unlockKey: string;
    };

export type ToManager =
  /** First of all. `unlockKey`: what this host's files are locked with, where the managers lock themselves. */
  | {
      readonly kind: "begin";
      readonly start: ManagerStart;
      readonly identity?: TlsIdentity;
      readonly unlockKey?: string;
    }
  /** A renewed certificate, or new roots: used from the next handshake on. */
  | { readonly kind: "identity"; readonly identity: TlsIdentity }
  /** The command line that it would be started with now. What can change while it runs, does. */
  | { readonly kind: "settings"; readonly args: readonly string[] };

export type FromManager =
  | {
      readonly kind: "issued";
      readonly clusterId: string;
      readonly certificate: string;
      readonly caCertificates: string;
    }
  /** The log's key cannot be opened with what was given: begin again with the unlock key. */
  | { readonly kind: "locked" }
  /** It serves. */
  | { readonly kind: "ready" }
  /** The cluster's unlock key is this now; empty: none. swarmd protects the node's own key with it. */
  | { readonly kind: "unlock-key"; readonly unlockKey: string }
  /** This manager was taken out of the group. It ends, and its log is worth nothing any more. */
  | { readonly kind: "removed" };
