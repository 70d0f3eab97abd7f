/**
 * A host that a cluster is made of, seen from where swarmctl runs. `provision/ssh/` reaches real ones; tests hand in their own.
 * Everything on the host is done as root: a user who is not root gets there by `sudo -n`, which is the implementation's concern.
 */

/** The sockets that a host with swarmd has, by what listens there. */
export type RemoteSocket = "manager" | "swarmd";

export interface RunOptions {
  /** What the program reads; nothing else ever does. Secrets go this way: a command line is everybody's to read. */
  readonly input?: string | Uint8Array;
  readonly signal?: AbortSignal;
}

/** How a program ended. A status other than 0 is an answer, not an error. */
export interface RunResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CopyOptions {
  /** Of the file there, as chmod takes it (default 0600). */
  readonly mode?: number;
  readonly onProgress?: (bytes: number, total: number) => void;
  readonly signal?: AbortSignal;
}

export interface Remote extends AsyncDisposable {
  /** As messages and progress lines call it: the address or the name of the cluster's file. */
  readonly name: string;
  /**
   * Runs a program with its arguments, none of which a shell sees. Throws a Fault that says what to do when the host cannot be
   * reached or does not let us in ("unavailable", "unauthenticated", "permission-denied"), or "canceled" on abort.
   */
  run(command: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Writes a file of this machine to a path there, whole or not at all. Its folder is made where it is missing. */
  copy(file: string, target: string, options?: CopyOptions): Promise<void>;
  /** The path of a unix socket here that leads to the host's, for `new Connection("unix:" + path, …)`. */
  socket(which: RemoteSocket): Promise<string>;
}
