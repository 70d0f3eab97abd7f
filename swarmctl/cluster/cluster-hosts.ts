/** The file of a cluster, and a way to each of its hosts. */
import { dirname, resolve } from "node:path";
import type { ClusterFile, FileHost } from "#provision/cluster-file/cluster-file.ts";
import { parseClusterFile } from "#provision/cluster-file/parse-cluster-file.ts";
import type { Remote } from "#provision/remote.ts";
import { SshRemotes } from "#provision/ssh/ssh-remotes.ts";
import type { Context } from "../context.ts";
import { readText } from "../read-file.ts";

export interface ClusterHosts extends AsyncDisposable {
  readonly file: ClusterFile;
  readonly remoteOf: (host: FileHost) => Remote;
  /** Of a host that the file does not name. */
  readonly remoteAt: (name: string, address: string) => Remote;
}

/** Nothing is connected before the first command. Of "-" as the path, relative ones begin where we are. */
export async function openClusterHosts({ io }: Context, path: string): Promise<ClusterHosts> {
  const { env, signal } = io;
  const home = env["HOME"];
  const text = await readText(io, path);
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
    remoteAt: (name, address) => remotes.add(name, { address, settings: file.ssh }),
    [Symbol.asyncDispose]: () => remotes[Symbol.asyncDispose](),
  };
}
