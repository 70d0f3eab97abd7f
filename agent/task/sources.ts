/** What tasks need of their node's other parts. Narrow on purpose: whoever runs tasks can hand in simpler ones. */
import type { NetworkAttachment } from "#proto/gen/swarm/v1/types_pb.ts";
import type { ImageDefaults } from "../container/oci-spec.ts";
import type { ImageHealth } from "../health/health-check.ts";
import type { AttachOptions, TaskNamespace } from "../network/network-driver.ts";

export interface TaskImage {
  readonly config: ImageDefaults & ImageHealth & { readonly stopSignal: string };
  /** Absolute folders, base first, ready as overlayfs lower layers. */
  readonly layers: readonly string[];
}

export interface Progress {
  readonly phase: "resolving" | "downloading" | "unpacking" | "complete";
  readonly completedBytes: number;
  readonly totalBytes: number;
}

export interface PullWish {
  readonly signal: AbortSignal;
  /** The service's login at the image's registry, as PullOptions has it. */
  readonly registryAuth?: string | undefined;
  readonly onProgress?: (progress: Progress) => void;
}

export interface ImageSource {
  pull(reference: string, options: PullWish): Promise<TaskImage>;
  /** Without asking anybody else. */
  find(reference: string): TaskImage | undefined;
}

export interface TaskNetworks {
  /** The same namespace for the same task, however often it is asked for. */
  attach(
    taskId: string,
    attachments: readonly NetworkAttachment[],
    options?: AttachOptions,
  ): Promise<TaskNamespace>;
  detach(taskId: string): Promise<void>;
  list(): Promise<readonly string[]>;
}
