/**
 * The logins in a config.json of Docker's: `auths` by registry, and the programs (credsStore, credHelpers) that keep them
 * elsewhere. What else is in the file belongs to others and stays as it is. Pure.
 */
import { Fault } from "#proto/fault.ts";
import { basicAuth, type Credentials, readCredentials } from "./credentials.ts";
import {
  type JsonObject,
  parseJson,
  parseObject,
  parseOptional,
  parseText,
} from "./foreign-json.ts";

export type DockerConfig = JsonObject;

/** Where a login is: in the file, or with the program `docker-credential-NAME`, which is asked for `server`. */
export type Login =
  | { readonly kind: "here"; readonly credentials: Credentials }
  | { readonly kind: "helper"; readonly name: string; readonly server: string };

/** Docker's own registry goes by this name in config.json. */
const officialKey = "https://index.docker.io/v1/";

const officialNames: ReadonlySet<string> = new Set([
  "docker.io",
  "index.docker.io",
  "registry-1.docker.io",
]);

export function parseDockerConfig(bytes: Uint8Array): DockerConfig {
  try {
    return parseObject(parseJson(bytes), "it");
  } catch {
    // The parser's words would repeat a part of the file.
    throw new Fault("failed-precondition", "it is not a JSON object");
  }
}

/** The name under which logins at the registry (HOST[:PORT]) are kept. */
export function loginKey(registry: string): string {
  return officialNames.has(registry) ? officialKey : registry;
}

export function findLogin(config: DockerConfig, registry: string): Login | undefined {
  const auths = parseOptional(config["auths"], "auths", parseObject) ?? {};
  const entry = Object.entries(auths).find(([key]) => isSameRegistry(key, registry));
  const name = helperOf(config, registry);
  // A store leaves an empty entry behind for each login that it keeps.
  const here = entry === undefined ? undefined : credentialsIn(entry);
  if (here !== undefined) return { kind: "here", credentials: here };
  if (name === undefined) return undefined;
  return { kind: "helper", name, server: entry?.[0] ?? loginKey(registry) };
}

/** The program that keeps the registry's login, if not the file does. */
export function helperOf(config: DockerConfig, registry: string): string | undefined {
  const helpers = parseOptional(config["credHelpers"], "credHelpers", parseObject) ?? {};
  const own = Object.entries(helpers).find(([key]) => isSameRegistry(key, registry));
  const name = own?.[1] ?? config["credsStore"];
  return parseOptional(name, "credsStore", parseText) || undefined;
}

export function withLogin(
  config: DockerConfig,
  registry: string,
  credentials: Credentials & { readonly kind: "password" },
): DockerConfig {
  const rest = withoutLogin(config, registry);
  const auths = parseOptional(rest["auths"], "auths", parseObject) ?? {};
  return { ...rest, auths: { ...auths, [loginKey(registry)]: { auth: basicAuth(credentials) } } };
}

export function withoutLogin(config: DockerConfig, registry: string): DockerConfig {
  const auths = parseOptional(config["auths"], "auths", parseObject) ?? {};
  const others = Object.entries(auths).filter(([key]) => !isSameRegistry(key, registry));
  return { ...config, auths: Object.fromEntries(others) };
}

function credentialsIn([key, entry]: readonly [string, unknown]): Credentials | undefined {
  try {
    return readCredentials(parseObject(entry, "it"));
  } catch {
    // Not the parser's own words: they may repeat a part of the secret.
    throw new Fault("failed-precondition", `the login at "${key}" cannot be read`);
  }
}

/** Keys may be URLs: "https://registry.example/v2/". */
function isSameRegistry(key: string, registry: string): boolean {
  const [host = ""] = key.replace(/^https?:\/\//, "").split("/");
  return host === registry || (officialNames.has(host) && officialNames.has(registry));
}
