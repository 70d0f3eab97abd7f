/** A stack: the services and networks that a file describes, as the specs that a cluster understands. */
import { Fault } from "#proto/fault.ts";
import type { ServiceSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { Annotations, NetworkSpec } from "#proto/gen/swarm/v1/types_pb.ts";

/** Docker's own label, so that its users' tools find the members of a stack. */
export const namespaceLabel = "com.docker.stack.namespace";

/** Docker's own, too: the image as the file names it, where the service has it with a digest. */
export const imageLabel = "com.docker.stack.image";

export interface Stack {
  readonly name: string;
  /** Each after those that it depends on. */
  readonly services: readonly ServiceSpec[];
  /** Names of those of which the file does not say how many replicas there shall be. */
  readonly unscaled: ReadonlySet<string>;
  /** To be made if missing: only those that a service is on. */
  readonly networks: readonly NetworkSpec[];
  /** Names of networks that others make. */
  readonly externalNetworks: readonly string[];
  readonly secrets: readonly StackFileSource[];
  readonly externalSecrets: readonly string[];
  readonly configs: readonly StackFileSource[];
  readonly externalConfigs: readonly string[];
  /** Where the file says it, such as "stack.yml:7:5", as near as it can be told from what managers say against its spec. */
  readonly placeOf: (noun: StackNoun, name: string, complaint: string) => string | undefined;
}

export type StackNoun = "service" | "network" | "secret" | "config";

/** A secret or config to be made, and where what it holds is. */
export interface StackFileSource {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly from:
    | { readonly file: string }
    | { readonly environment: string }
    | { readonly content: string };
  readonly templateDriver?: string;
}

const namePattern = /^[a-zA-Z0-9](?:[a-zA-Z0-9_-]*[a-zA-Z0-9])?$/;

export function isName(text: string): boolean {
  return namePattern.test(text) && text.length <= 63;
}

export function parseStackName(text: string): string {
  if (isName(text)) return text;
  throw new Fault(
    "invalid-argument",
    `"${text}" is not a name for a stack: use letters, digits, - and _, at most 63`,
  );
}

export function stackOf(labels: Readonly<Record<string, string>> | undefined): string | undefined {
  return labels?.[namespaceLabel];
}

/** A network or service of the name that belongs to somebody else is not touched. */
export function checkOwner(stack: Stack, what: string, { annotations }: Named): void {
  const owner = stackOf(annotations?.labels);
  if (owner === stack.name) return;
  const whose = owner === undefined ? "belongs to no stack" : `belongs to the stack "${owner}"`;
  throw new Fault(
    "already-exists",
    `${what} is there already and ${whose}: remove it, or choose another name`,
  );
}

interface Named {
  readonly annotations?: Annotations | undefined;
}

export function nameOf(spec: Named | undefined): string {
  return spec?.annotations?.name ?? "";
}
