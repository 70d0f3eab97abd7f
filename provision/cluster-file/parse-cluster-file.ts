/**
 * A cluster's file → what it says. Every refusal names file, line and column, and of a mistyped key the one that was meant.
 * Pure: paths are made absolute by what the caller says of the file's folder and the user's home.
 */
import { isIP } from "node:net";
import { join, resolve } from "node:path";
import { Ajv } from "ajv";
import { Fault } from "#proto/fault.ts";
import { YamlDocument } from "#proto/yaml/document.ts";
import { toValue } from "#proto/yaml/node.ts";
import { readYaml } from "#proto/yaml/read-yaml.ts";
import { schemaFault } from "#proto/yaml/schema-fault.ts";
import { rolesLabel } from "../node-settings.ts";
import type {
  Availability,
  BackupSettings,
  ClusterFile,
  FileHost,
  SshSettings,
} from "./cluster-file.ts";
import { type ClusterOptions, specWith } from "./options.ts";
import { clusterFileSchema } from "./schema.ts";

export interface FilePlace {
  /** As messages call the file. */
  readonly file: string;
  /** Relative paths in it begin here. */
  readonly folder: string;
  readonly home?: string;
}

/** More managers make writes slower and survive little more: Raft's authors and Swarm's recommend no more. */
const managersMax = 7;

const validate = new Ajv({
  allowUnionTypes: true,
  allErrors: true,
  verbose: true,
}).compile<RawFile>(clusterFileSchema);

/** As the schema leaves it. */
interface RawFile {
  readonly cluster: string;
  readonly ssh?: SshSettings;
  readonly package?: string;
  readonly hosts: readonly RawHost[];
  readonly options?: ClusterOptions;
  readonly backup?: BackupSettings;
}

interface RawHost {
  readonly address: string;
  readonly name?: string;
  readonly roles?: readonly ("manager" | "worker")[];
  readonly labels?: Readonly<Record<string, string | number | boolean>>;
  readonly interface?: string;
  readonly availability?: Availability;
  readonly ssh?: SshSettings;
}

export function parseClusterFile(text: string, place: FilePlace): ClusterFile {
  const document = new YamlDocument(readYaml(text, place.file));
  const raw: unknown = toValue(document.root);
  if (!validate(raw)) throw schemaFault(document, validate.errors ?? []);
  const ssh = sshSettings(raw.ssh ?? {}, place);
  const hosts = raw.hosts.map((host, index) => fileHost(host, { document, index, ssh, place }));
  refuseTwice(document, hosts, "address");
  refuseTwice(document, hosts, "name");
  checkOptions(document, raw.options ?? {});
  const managers = hosts.filter(({ isManager }) => isManager).length;
  if (managers === 0) {
    throw document.fault(["hosts"], "has no manager: give one or three of them roles: [manager]");
  }
  return {
    cluster: raw.cluster,
    hosts,
    ssh,
    options: raw.options ?? {},
    ...(raw.package !== undefined && { package: absolute(raw.package, place) }),
    ...(raw.backup !== undefined && { backup: raw.backup }),
    warnings: managerWarnings(managers),
  };
}

interface HostPlace {
  readonly document: YamlDocument;
  readonly index: number;
  readonly ssh: SshSettings;
  readonly place: FilePlace;
}

function fileHost(raw: RawHost, { document, index, ssh, place }: HostPlace): FileHost {
  const roles = raw.roles ?? ["worker"];
  const isManager = roles.includes("manager");
  const runsTasks = roles.includes("worker");
  if (raw.availability === "active" && !runsTasks) {
    const complaint = "is active, and roles has no worker: add it, or leave out availability";
    throw document.fault(["hosts", `${index}`, "availability"], complaint);
  }
  // As written: a label "1.10" is no number.
  const labels = Object.keys(raw.labels ?? {}).map((key) => {
    const written = document.text(["hosts", `${index}`, "labels", key]);
    return [key, written ?? String(raw.labels?.[key])] as const;
  });
  if (Object.hasOwn(raw.labels ?? {}, rolesLabel)) {
    const complaint = "is set by apply itself: choose another name";
    throw document.fault(["hosts", `${index}`, "labels", rolesLabel], complaint);
  }
  return {
    address: raw.address,
    name: raw.name ?? raw.address,
    isManager,
    ...(raw.labels !== undefined && { labels: Object.fromEntries(labels) }),
    runsTasks,
    ...(raw.availability !== undefined && { availability: raw.availability }),
    ...(raw.interface !== undefined && { interface: raw.interface }),
    ssh: { ...ssh, ...sshSettings(raw.ssh ?? {}, place) },
  };
}

function sshSettings(raw: SshSettings, place: FilePlace): SshSettings {
  return {
    ...raw,
    ...(raw.key !== undefined && { key: absolute(raw.key, place) }),
    ...(raw.config !== undefined && { config: absolute(raw.config, place) }),
  };
}

function absolute(path: string, { folder, home }: FilePlace): string {
  if (home !== undefined && (path === "~" || path.startsWith("~/")))
    return join(home, path.slice(1));
  return resolve(folder, path);
}

function refuseTwice(
  document: YamlDocument,
  hosts: readonly FileHost[],
  key: "address" | "name",
): void {
  const seen = new Map<string, number>();
  for (const [index, host] of hosts.entries()) {
    const value = canonical(host[key]);
    const first = seen.get(value);
    if (first === undefined) {
      seen.set(value, index);
      continue;
    }
    const complaint = `is "${host[key]}", which is the ${key} of hosts.${first} already`;
    throw document.fault(["hosts", `${index}`, key], complaint);
  }
}

/** One way to write each address. */
function canonical(address: string): string {
  if (isIP(address) !== 6) return address.toLowerCase();
  return URL.parse(`http://[${address.replace(/%.*$/, "")}]`)?.hostname ?? address.toLowerCase();
}

/** Durations, which a schema does not know. */
function checkOptions(document: YamlDocument, options: ClusterOptions): void {
  for (const [key, value] of Object.entries(options)) {
    try {
      specWith({ options: { [key]: value } });
    } catch (thrown) {
      if (!(thrown instanceof Fault)) throw thrown;
      throw document.fault(["options", key], `is not right: ${thrown.message}`);
    }
  }
}

function managerWarnings(count: number): string[] {
  if (count > managersMax) {
    return [
      `${count} managers make every write slower and survive little more: 3, 5 or 7 are enough`,
    ];
  }
  if (count % 2 === 1) return [];
  const lost = count / 2 - 1;
  const survives = lost === 0 ? "none" : `${lost}`;
  return [
    `${count} managers survive the loss of ${survives}, no more than ${count - 1} would: an odd number is better`,
  ];
}
