/** A stack file as text → the same as a checked value: what `stackSchema` describes, without a variable left in it. */
import { Ajv, type ErrorObject } from "ajv";
import { Fault } from "#proto/fault.ts";
import type { ContainerEntry, ResourcesEntry } from "./container-schema.ts";
import { resolveDollars } from "./dollars.ts";
import type { HealthcheckEntry } from "./parse-healthcheck.ts";
import type { EndpointModeEntry, PortEntry } from "./ports-schema.ts";
import type { ServiceFilesEntry, TopFilesEntry } from "./files-schema.ts";
import { stackSchema } from "./stack-schema.ts";
import { type Path, YamlDocument } from "./yaml-document.ts";

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
  readonly endpoint_mode?: EndpointModeEntry;
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

export interface StackFile extends TopFilesEntry {
  readonly services: Readonly<Record<string, ServiceEntry>>;
  readonly networks?: Readonly<Record<string, NetworkEntry | null>>;
}

export interface CheckedStackFile {
  readonly content: StackFile;
  readonly document: YamlDocument;
}

// Compiling takes longer than checking many files. Its errors are read right after the call that left them.
const validate = new Ajv({
  allowUnionTypes: true,
  allErrors: true,
  verbose: true,
}).compile<StackFile>(stackSchema);

/** What the parts of a stack need to become specs. */
export interface StackContext extends CheckedStackFile {
  readonly name: string;
  /** To which relative paths in the file are relative. */
  readonly folder: string;
}

export function parseStackFile(source: string, file: string): CheckedStackFile {
  const document = new YamlDocument(source, file);
  const content = resolveDollars(document);
  if (!validate(content)) throw firstFault(document, validate.errors ?? []);
  return { content, document };
}

interface Problem {
  readonly path: Path;
  readonly complaint: string;
}

/** Of several problems the one that stands first in the file. */
function firstFault(document: YamlDocument, errors: readonly ErrorObject[]): Fault {
  const [first] = errors
    .map(problemOf)
    .toSorted((a, b) => document.offset(a.path) - document.offset(b.path));
  return document.fault(first?.path ?? [], first?.complaint ?? "is not a stack file");
}

function problemOf({ keyword, instancePath, params, parentSchema }: ErrorObject): Problem {
  const path = parseJsonPointer(instancePath);
  if (keyword === "additionalProperties") {
    return { path: [...path, String(params["additionalProperty"])], complaint: "is not supported" };
  }
  if (keyword === "required") {
    return { path, complaint: `has no ${String(params["missingProperty"])}` };
  }
  return { path, complaint: `must be ${String(parentSchema?.["description"])}` };
}

/** Names the place of what a parser refuses. */
export function at<T>({ document }: StackContext, path: Path, parse: () => T): T {
  try {
    return parse();
  } catch (thrown) {
    throw document.fault(path, `is refused: ${Fault.from(thrown).message}`);
  }
}

/** RFC 6901 */
function parseJsonPointer(pointer: string): string[] {
  return pointer
    .split("/")
    .slice(1)
    .map((segment) => segment.replaceAll("~1", "/").replaceAll("~0", "~"));
}
