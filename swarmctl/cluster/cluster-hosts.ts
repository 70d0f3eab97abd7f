/** The file of a cluster, and a way to each of its hosts. */
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { Fault } from "#proto/fault.ts";
import type { ClusterFile, FileHost } from "#provision/cluster-file/cluster-file.ts";
import { parseClusterFile } from "#provision/cluster-file/parse-cluster-file.ts";
import type { Remote } from "#provision/remote.ts";
import { SshRemotes } from "#provision/ssh/ssh-remotes.ts";
import type { Context } from "../context.ts";

export interface ClusterHosts extends AsyncDisposable {
  readonly file: ClusterFile;
  readonly remoteOf: (host: FileHost) => Remote;
}

/** Nothing is connected before the first command. */
export async function openClusterHosts({ io }: Context, path: string): Promise<ClusterHosts> {
  const { env, signal } = io;
  const home = env["HOME"];
  const text = await readFile(path, "utf8").catch((thrown: unknown) => {
    throw Fault.wrap("Cannot read the cluster's file", thrown);
  });
  const folder = dirname(resolve(path));
  const file = parseClusterFile(text, { file: path, folder, ...(home && { home }) });
  const remotes = await SshRemotes.open({ env, signal });
  const byName = new Map(
    file.hosts.map(({ name, address, ssh }) => [
      name,
      remotes.add(name, { address, settings: ssh }),
    ]),
  );
  return {
    file,
    remoteOf: ({ name }) => {
      const remote = byName.get(name);
      if (remote === undefined) throw new TypeError(`no host ${name}`);
      return remote;
    },
    [Symbol.asyncDispose]: () => remotes[Symbol.asyncDispose](),
  };
}
