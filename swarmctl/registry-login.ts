/**
 * The user's logins at registries, where Docker keeps them, too: $DOCKER_CONFIG/config.json, else ~/.docker/config.json,
 * or a program that the file names. What is needed of registry/ is imported only when somebody asks for a login.
 */
import { mkdir, realpath, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { errnoOf, Fault } from "#proto/fault.ts";
import type { ServiceSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import type { Credentials } from "#registry/credentials.ts";
import { askHelper, eraseWithHelper, storeWithHelper } from "./credential-helper.ts";
import type { Io } from "./io.ts";

type Password = Credentials & { readonly kind: "password" };

/** The spec with the user's login for its image's registry; as it is where the user has none. */
export async function withRegistryAuth(io: Io, spec: ServiceSpec): Promise<ServiceSpec> {
  const runtime = spec.task?.runtime;
  if (spec.task === undefined || runtime?.case !== "container") return spec;
  const { PullOptionsSchema } = await import("#proto/gen/swarm/v1/types_pb.ts");
  const registryAuth = await registryAuthFor(io, runtime.value.image);
  if (registryAuth === undefined) return spec;
  const value = { ...runtime.value, pullOptions: create(PullOptionsSchema, { registryAuth }) };
  return { ...spec, task: { ...spec.task, runtime: { case: "container", value } } };
}

/** The user's login for the image's registry, as PullOptions has it; undefined where the user has none. */
export async function registryAuthFor(io: Io, image: string): Promise<string | undefined> {
  const { parseReference } = await import("#registry/reference.ts");
  const { readLogin } = await import("#registry/login-file.ts");
  const { formatRegistryAuth } = await import("#registry/credentials.ts");
  const { registry } = parseReference(image);
  const credentials = await readLogin(configPath(io), registry, (login) => askHelper(io, login));
  return credentials === undefined ? undefined : formatRegistryAuth(credentials, registry);
}

/** The file's path where the login was written in the clear; undefined where a program keeps it. */
export async function saveLogin(
  io: Io,
  registry: string,
  login: Password,
): Promise<string | undefined> {
  const { helperOf, loginKey, withLogin } = await import("#registry/docker-config.ts");
  const path = configPath(io);
  const config = await readConfig(path);
  const name = helperOf(config, registry);
  if (name !== undefined) {
    await storeWithHelper(io, { name, server: loginKey(registry) }, login);
    return undefined;
  }
  await writeConfig(path, withLogin(config, registry, login));
  return path;
}

export async function removeLogin(io: Io, registry: string): Promise<void> {
  const { helperOf, loginKey, withoutLogin } = await import("#registry/docker-config.ts");
  const path = configPath(io);
  const config = await readConfig(path);
  const name = helperOf(config, registry);
  if (name !== undefined) await eraseWithHelper(io, { name, server: loginKey(registry) });
  const changed = withoutLogin(config, registry);
  if (JSON.stringify(changed) !== JSON.stringify(config)) await writeConfig(path, changed);
}

/** HOST[:PORT] of what users write: also a URL, as Docker's users do; nothing is Docker's own registry. */
export function parseServer(text: string | undefined): string {
  if (text === undefined) return "docker.io";
  const [host = ""] = text.replace(/^https?:\/\//, "").split("/");
  if (host === "index.docker.io" || host === "registry-1.docker.io") return "docker.io";
  if (/^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?$/.test(host)) return host;
  throw new Fault("invalid-argument", `"${text}" is not a registry: write HOST or HOST:PORT`);
}

function configPath({ env }: Io): string {
  const folder = env["DOCKER_CONFIG"] || (env["HOME"] && join(env["HOME"], ".docker"));
  if (folder) return join(folder, "config.json");
  const message = "There is no place for logins: set HOME or DOCKER_CONFIG";
  throw new Fault("failed-precondition", message);
}

async function readConfig(path: string): Promise<Readonly<Record<string, unknown>>> {
  const { readIfThere } = await import("#registry/login-file.ts");
  const { parseDockerConfig } = await import("#registry/docker-config.ts");
  try {
    const bytes = await readIfThere(path);
    return bytes === undefined ? {} : parseDockerConfig(bytes);
  } catch (thrown) {
    throw Fault.wrap(`Cannot read the logins in "${path}"`, thrown);
  }
}

/** By renaming: whoever reads it meanwhile has the old file or the new one. */
async function writeConfig(path: string, config: object): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const target = await targetOf(path);
    const next = `${target}.${process.pid}`;
    await rm(next, { force: true });
    await writeFile(next, `${JSON.stringify(config, undefined, "\t")}\n`, {
      mode: 0o600,
      flag: "wx",
    });
    await rename(next, target);
  } catch (thrown) {
    throw Fault.wrap(`Cannot write the logins to "${path}"`, thrown);
  }
}

/** The file itself, where the path is a link to it. */
async function targetOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (thrown) {
    if (errnoOf(thrown) === "ENOENT") return path;
    throw thrown;
  }
}
