/** A host reached by the system's ssh: one connection, made when it is first wanted and again when it broke. */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Fault } from "#proto/fault.ts";
import type { CopyOptions, Remote, RemoteSocket, RunOptions, RunResult } from "../remote.ts";
import { Tunnel } from "../tunnel.ts";
import { shellWords, type SshTarget, sshArguments } from "./ssh-arguments.ts";
import { noSudoFault, sshFault } from "./ssh-fault.ts";
import { openMaster, type SshMaster } from "./ssh-master.ts";
import { endOf, type SshChild, spawnSsh } from "./ssh-process.ts";

/** ssh's own exit status. */
const sshFailed = 255;

export interface SshRemoteOptions {
  readonly name: string;
  readonly target: SshTarget;
  /** For sockets: ours alone, and short. */
  readonly folder: string;
  /** Tells the sockets of several hosts apart. */
  readonly number: number;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
}

export class SshRemote implements Remote {
  readonly name: string;
  readonly #options: SshRemoteOptions;
  readonly #scope = new AbortController();
  readonly #tunnels = new Map<RemoteSocket, Promise<Tunnel>>();
  #master: Promise<SshMaster> | undefined;
  #masters = 0;
  /** Of a user who is not root, once it is known to work. */
  #sudo: Promise<readonly string[]> | undefined;

  constructor(options: SshRemoteOptions) {
    this.name = options.name;
    this.#options = options;
  }

  async run(command: readonly string[], { input, signal }: RunOptions = {}): Promise<RunResult> {
    const child = await this.#spawn(command);
    const end = endOf(child, this.#signal(signal));
    child.stdin.end(input ?? "");
    return await this.#result(end);
  }

  async copy(file: string, target: string, options: CopyOptions = {}): Promise<void> {
    const { mode = 0o600, onProgress } = options;
    const action = `Cannot copy "${file}" to ${this.name}`;
    try {
      const { size } = await stat(file);
      const child = await this.#spawn([
        "sh",
        "-c",
        receiveScript,
        "sh",
        target,
        mode.toString(8),
        `${size}`,
      ]);
      const end = this.#result(endOf(child, this.#signal(options.signal)));
      let bytes = 0;
      const count = new Transform({
        transform: (chunk: Buffer, _, done) => {
          bytes += chunk.length;
          onProgress?.(bytes, size);
          done(null, chunk);
        },
      });
      // Why the other side stopped reading, it says itself.
      const sent = pipeline(createReadStream(file), count, child.stdin).catch(() => {});
      const [{ status, stderr }] = await Promise.all([end, sent]);
      if (status === 0) return;
      throw new Fault("failed-precondition", lastLine(stderr) || `status ${status}`);
    } catch (thrown) {
      throw Fault.wrap(action, thrown);
    }
  }

  async socket(which: RemoteSocket): Promise<string> {
    const known = this.#tunnels.get(which);
    const opening = known ?? this.#openTunnel(which);
    this.#tunnels.set(which, opening);
    return (await opening).path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#scope.abort(new Fault("canceled", "the connection was closed"));
    for (const opening of this.#tunnels.values()) {
      const tunnel = await opening.catch(() => undefined);
      await tunnel?.[Symbol.asyncDispose]();
    }
    const master = await this.#master?.catch(() => undefined);
    await master?.close();
  }

  #signal(signal: AbortSignal | undefined): AbortSignal {
    const own = [this.#scope.signal, this.#options.signal];
    return AbortSignal.any(signal === undefined ? own : [...own, signal]);
  }

  async #result(end: ReturnType<typeof endOf>): Promise<RunResult> {
    const { status = sshFailed, stdout, stderr } = await end;
    if (status === sshFailed) throw sshFault(this.#options.target, stderr);
    return { status, stdout, stderr };
  }

  /** Starts a program there as root. */
  async #spawn(command: readonly string[]): Promise<SshChild> {
    const master = await this.#connected();
    this.#sudo ??= this.#findSudo(master);
    return this.#spawnAs(master, [...(await this.#sudo), ...command]);
  }

  #spawnAs({ controlPath }: SshMaster, command: readonly string[]): SshChild {
    const { target, env } = this.#options;
    const args = sshArguments(target, { ControlMaster: "no", ControlPath: controlPath });
    return spawnSsh([...args, shellWords(command)], env);
  }

  async #findSudo(master: SshMaster): Promise<readonly string[]> {
    const { target } = this.#options;
    const { sudo = master.userId !== 0 } = target.settings;
    if (!sudo) return [];
    const child = this.#spawnAs(master, ["sudo", "-n", "true"]);
    const end = endOf(child, this.#signal(undefined));
    child.stdin.end();
    const { status, stderr } = await this.#result(end);
    if (status !== 0) throw noSudoFault(target, stderr);
    return ["sudo", "-n"];
  }

  #connected(): Promise<SshMaster> {
    this.#master ??= this.#connect();
    return this.#master;
  }

  async #connect(): Promise<SshMaster> {
    const { target, folder, number, env } = this.#options;
    this.#masters += 1;
    // Each with a path of its own: one that dies may leave its socket.
    const controlPath = join(folder, `${number}.${this.#masters}`);
    const forget = () => {
      this.#master = undefined;
    };
    try {
      const master = await openMaster(target, {
        controlPath,
        env,
        signal: this.#signal(undefined),
      });
      void master.ended.then(forget);
      return master;
    } catch (thrown) {
      forget();
      throw thrown;
    }
  }

  async #openTunnel(which: RemoteSocket): Promise<Tunnel> {
    const { folder, number } = this.#options;
    const path = join(folder, `${number}-${which}`);
    return await Tunnel.open(path, () => this.#spawn(["swarmctl", "system", "dial-stdio", which]));
  }
}

/** A connection that breaks looks to `cat` like the file's end, so that the size is what tells. */
const receiveScript = `set -eu
umask 077
mkdir -p "$(dirname "$1")"
part="$1.part"
cat > "$part"
[ "$(wc -c < "$part")" -eq "$3" ] || { rm -f "$part"; echo "the file did not arrive whole" >&2; exit 1; }
chmod "$2" "$part"
mv "$part" "$1"`;

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1)?.trim() ?? "";
}
