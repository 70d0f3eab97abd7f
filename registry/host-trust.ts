/**
 * What is trusted of a registry's host, and what is shown to it: as /etc/docker/certs.d has it, a folder for each
 * HOST[:PORT] with authorities (*.crt) and client certificates (NAME.cert with NAME.key). Read anew for each request:
 * certificates are renewed while daemons run.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, Fault } from "#proto/fault.ts";

export interface HostTrust {
  /** PEM; beside the host's own authorities. */
  readonly authorities: readonly string[];
  /** PEM. */
  readonly clients: readonly { readonly certificate: string; readonly key: string }[];
}

/** The first folder that has something for the host counts. */
export async function readHostTrust(
  folders: readonly string[],
  host: string,
): Promise<HostTrust | undefined> {
  // A host's name comes from an image's: it shall name no other folder.
  if (host.includes("/") || host.startsWith(".")) return undefined;
  for (const folder of folders) {
    const path = join(folder, host);
    try {
      const names = (await readdir(path)).sort();
      return await readFolder(path, names);
    } catch (thrown) {
      if (errnoOf(thrown) === "ENOENT" || errnoOf(thrown) === "ENOTDIR") continue;
      throw Fault.wrap(`Cannot read the certificates in "${path}"`, thrown);
    }
  }
  return undefined;
}

async function readFolder(path: string, names: readonly string[]): Promise<HostTrust> {
  const read = (name: string) => readFile(join(path, name), "utf8");
  const named = (ending: string) => names.filter((name) => name.endsWith(ending));
  for (const name of named(".key")) requirePair(names, name, name.replace(/key$/, "cert"));
  for (const name of named(".cert")) requirePair(names, name, name.replace(/cert$/, "key"));
  const readPair = async (name: string) => {
    const [certificate, key] = await Promise.all([read(name), read(name.replace(/cert$/, "key"))]);
    return { certificate, key };
  };
  const [authorities, clients] = await Promise.all([
    Promise.all(named(".crt").map(read)),
    Promise.all(named(".cert").map(readPair)),
  ]);
  return { authorities, clients };
}

function requirePair(names: readonly string[], name: string, other: string): void {
  if (names.includes(other)) return;
  throw new Fault("failed-precondition", `"${name}" needs "${other}" beside it`);
}
