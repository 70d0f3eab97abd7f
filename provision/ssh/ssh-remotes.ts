/** All hosts of one invocation, and the folder with the sockets of their connections. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SshRemote } from "./ssh-remote.ts";
import type { SshTarget } from "./ssh-arguments.ts";

export interface SshRemotesOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

export class SshRemotes implements AsyncDisposable {
  readonly #options: SshRemotesOptions;
  readonly #folder: string;
  readonly #remotes = new Set<SshRemote>();

  constructor(folder: string, options: SshRemotesOptions) {
    this.#folder = folder;
    this.#options = options;
  }

  static async open(options: SshRemotesOptions): Promise<SshRemotes> {
    // mkdtemp's folders are their user's alone. Its path must be short: a socket's path has 107 bytes.
    const base = options.env["XDG_RUNTIME_DIR"] || tmpdir();
    return new SshRemotes(
      await mkdtemp(join(base.length > 40 ? "/tmp" : base, "swarm-ssh-")),
      options,
    );
  }

  /** Nothing is connected before the first command. */
  add(name: string, target: SshTarget): SshRemote {
    const { env, signal } = this.#options;
    const [folder, number] = [this.#folder, this.#remotes.size + 1];
    const remote = new SshRemote({ name, target, folder, number, env, signal });
    this.#remotes.add(remote);
    return remote;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(Array.from(this.#remotes, (remote) => remote[Symbol.asyncDispose]()));
    await rm(this.#folder, { recursive: true, force: true });
  }
}
