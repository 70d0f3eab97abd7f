/**
 * The flags about registries that swarmd has, and hands on to its manager: the one pulls, the other resolves tags, and
 * both shall see the same registries. Pure.
 */
import { Fault } from "#proto/fault.ts";
import { describeFlags, type FlagDoc } from "#proto/flag-doc.ts";
import type { RegistryMirror, RegistrySettings } from "./endpoints.ts";
import { isInNetwork, proxyFromEnvironment } from "./proxy.ts";

/** For node:util's parseArgs. */
export const registryFlags = {
  "insecure-registry": { type: "string", multiple: true },
  "registry-mirror": { type: "string", multiple: true },
  "registry-logins": { type: "string" },
  "registry-certificates": { type: "string", multiple: true },
} as const;

const loginsDefault = "/etc/swarm/registry-logins.json";
const certificatesDefault: readonly string[] = ["/etc/swarm/certs.d", "/etc/docker/certs.d"];

export const registryFlagDocs: readonly FlagDoc[] = [
  {
    name: "insecure-registry",
    argument: "HOST[:PORT]|NETWORK",
    text: "take plain HTTP or any certificate there; may be repeated",
    default: [],
    otherwise: "nowhere",
    example: ["registry.example.com:5000", "192.0.2.0/24"],
  },
  {
    name: "registry-mirror",
    argument: "[HOST=]URL",
    text: "asked before the registry HOST, which is docker.io where none is said; may be repeated",
    default: [],
    otherwise: "none",
    example: { "docker.io": "https://mirror.example.com" },
  },
  {
    name: "registry-logins",
    argument: "FILE",
    text: "a config.json of Docker's with logins",
    default: loginsDefault,
  },
  {
    name: "registry-certificates",
    argument: "DIR",
    text: "HOST[:PORT]/ca.crt, client.cert and client.key are looked for in it; may be repeated",
    default: certificatesDefault,
  },
];

export const registryFlagsHelp = describeFlags(registryFlagDocs);

export interface RegistryFlagValues {
  readonly "insecure-registry"?: string[] | undefined;
  readonly "registry-mirror"?: string[] | undefined;
  readonly "registry-logins"?: string | undefined;
  readonly "registry-certificates"?: string[] | undefined;
}

const hostPattern = /^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?$/;

export function parseRegistryFlags(
  values: RegistryFlagValues,
  env: Readonly<Record<string, string | undefined>>,
): RegistrySettings {
  const certificates = values["registry-certificates"] ?? certificatesDefault;
  const proxy = proxyFromEnvironment(env);
  return {
    insecureRegistries: (values["insecure-registry"] ?? []).map(insecureRegistry),
    mirrors: (values["registry-mirror"] ?? []).map(mirror),
    credentialsFile: absolute("--registry-logins", values["registry-logins"] ?? loginsDefault),
    certificateFolders: certificates.map((path) => absolute("--registry-certificates", path)),
    ...((proxy.http ?? proxy.https) !== undefined && { proxy }),
  };
}

/** The flags that say the same. The proxy is left out: it is in the environment. */
export function registryArgs(settings: RegistrySettings): readonly string[] {
  const { insecureRegistries, mirrors = [], credentialsFile, certificateFolders = [] } = settings;
  return [
    ...insecureRegistries.map((registry) => `--insecure-registry=${registry}`),
    ...mirrors.map(({ registry, url }) => `--registry-mirror=${registry}=${url}`),
    ...(credentialsFile === undefined ? [] : [`--registry-logins=${credentialsFile}`]),
    ...certificateFolders.map((path) => `--registry-certificates=${path}`),
  ];
}

function insecureRegistry(text: string): string {
  const [address = ""] = text.split("/");
  if (hostPattern.test(text) || isInNetwork(address, text)) return text;
  throw usage(
    `--insecure-registry "${text}" is not a registry: write HOST or HOST:PORT, such as 192.0.2.1:5000, or a network, such as 192.0.2.0/24`,
  );
}

function mirror(text: string): RegistryMirror {
  const [, registry = "docker.io", address = ""] = /^(?:([^=/]*)=)?(.*)$/s.exec(text) ?? [];
  const url = URL.parse(address);
  const isHttp = url?.protocol === "http:" || url?.protocol === "https:";
  const hasLogin = url?.username !== "" || url.password !== "";
  const isPlain = isHttp && !hasLogin && url.search === "" && url.hash === "";
  if (isPlain && hostPattern.test(registry)) return { registry, url: url.href };
  throw usage(
    "--registry-mirror is not of the form [HOST=]URL, such as https://mirror.example.com",
  );
}

function absolute(flag: string, path: string): string {
  if (path.startsWith("/")) return path;
  throw usage(`${flag} "${path}" is not an absolute path`);
}

function usage(problem: string): Fault {
  return new Fault("invalid-argument", problem);
}
