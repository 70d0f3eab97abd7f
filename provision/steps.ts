/** What there is to do, as data: planned purely, shown to whoever asks before, performed by apply. */
import type { PackageFile } from "./package-file.ts";

/** Who a step is about, by the name under which its progress is shown: a host of the file, a node that leaves, or the cluster. */
export type Step =
  | { readonly kind: "dependencies"; readonly on: string; readonly packages: readonly string[] }
  | { readonly kind: "install"; readonly on: string; readonly file: PackageFile }
  | { readonly kind: "start"; readonly on: string }
  /** The host takes itself for a node that its cluster has removed. */
  | { readonly kind: "forget"; readonly on: string }
  | { readonly kind: "init"; readonly on: string }
  | { readonly kind: "settings"; readonly on: string; readonly keys: readonly string[] }
  | { readonly kind: "join"; readonly on: string }
  | { readonly kind: "configure"; readonly on: string; readonly changes: readonly string[] }
  | { readonly kind: "promote"; readonly on: string }
  | { readonly kind: "drain"; readonly on: string }
  | { readonly kind: "demote"; readonly on: string }
  | { readonly kind: "leave"; readonly on: string; readonly isDown: boolean };

export type StepKind = Step["kind"];

/** A node that the file does not name. */
export interface Leaver {
  /** As `on` in its steps says. */
  readonly name: string;
  readonly nodeId: string;
  readonly address: string | undefined;
  readonly isDown: boolean;
}

/** Steps of one phase are of different hosts and run side by side; the next phase begins when all are done. */
export type Phase = readonly Step[];

export interface Plan {
  readonly phases: readonly Phase[];
  readonly leavers: readonly Leaver[];
  readonly warnings: readonly string[];
}

/** Of the step that concerns the cluster as a whole. */
export const clusterName = "cluster";

export function isEmpty({ phases }: Plan): boolean {
  return phases.every((phase) => phase.length === 0);
}

/** "join the cluster", for plans; progress lines have words of their own. */
export function describeStep(step: Step): string {
  switch (step.kind) {
    case "dependencies":
      return `install ${step.packages.join(", ")} with apt-get`;
    case "install":
      return `install swarm ${step.file.version}`;
    case "start":
      return "start swarmd";
    case "forget":
      return "leave a cluster that has removed it";
    case "init":
      return "begin the cluster";
    case "settings":
      return `change ${step.keys.join(", ")}`;
    case "join":
      return "join the cluster";
    case "configure":
      return step.changes.join(", ");
    case "promote":
      return "become a manager";
    case "drain":
      return "hand its tasks to other hosts";
    case "demote":
      return "become a worker";
    case "leave":
      return step.isDown
        ? "be removed from the cluster (it is down)"
        : "leave the cluster, and have swarm removed with its data";
  }
}
