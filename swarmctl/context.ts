/**
 * What every command's action works with: the invocation's streams and, on demand, connections: to a manager, which is
 * this host's own or that of a saved context, and to this host's swarmd. It owns the connections and closes them. They are
 * imported here and only when one is wanted; gRPC takes longer to load than everything else together, so that this host's
 * sockets are reached without it where that will do.
 */
import { connect } from "node:net";
import { join, resolve } from "node:path";
import type { DescService } from "@bufbuild/protobuf";
import { errnoOf, Fault } from "#proto/fault.ts";
import type { Client, ConnectionOptions } from "#proto/grpc.ts";
import type { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import type { NodeService } from "#proto/gen/swarm/v1/node_pb.ts";
import { systemClock } from "#proto/system-clock.ts";
import type { Remote, RemoteSocket } from "#provision/remote.ts";
import { ContextFolder, defaultContextName } from "./context/context-folder.ts";
import type { Io } from "./io.ts";

export const defaultRunRoot = "/run/swarm";

/** Of `--host` where a manager is reached by ssh. */
const sshScheme = "ssh://";

export type ControlClient = Client<typeof ControlService>;
export type NodeClient = Client<typeof NodeService>;

/** Linux refuses longer paths of sockets. */
const socketPathBytesMax = 107;

/** Managers wait 20 s for a leader before they say what is wrong. */
const controlDeadlineMs = 22_000;

/** A node may have to look through its disk. */
const engineDeadlineMs = 60_000;

/** The flags that every command has: where the sockets are, and whose manager is meant. */
export interface PlaceFlags {
  readonly runRoot?: string;
  readonly host?: string;
  readonly context?: string;
}

export interface ControlOptions {
  /** Reads take the manager's state as it is, which may lag behind. */
  readonly stale?: true;
}

export class Context implements AsyncDisposable {
  readonly io: Io;
  /** Of a command that did what it was told: a process elsewhere may have ended with another one. */
  exitCode = 0;
  readonly #connections = new Set<AnyConnection>();
  #flags: PlaceFlags = {};
  #place: Promise<Place> | undefined;
  readonly #far = new AsyncDisposableStack();
  #remote: Promise<Remote> | undefined;

  constructor(io: Io) {
    this.io = io;
  }

  useFlags(flags: PlaceFlags): void {
    this.#flags = flags;
  }

  /** A manager: of the context that is named or in use, else of this host. */
  async control({ stale }: ControlOptions = {}): Promise<ControlClient> {
    const place = await this.#manager();
    const metadata: Readonly<Record<string, string>> = stale ? { "swarm-read": "stale" } : {};
    const options = { ...place.options, metadata, deadlineMs: controlDeadlineMs };
    const connection = await this.#connect(place.address, options);
    const { ControlService } = await import("#proto/gen/swarm/v1/control_pb.ts");
    return connection.service(ControlService);
  }

  /** A service of a node's engine, through the manager. */
  async engine<S extends DescService>(service: S, nodeId: string): Promise<Client<S>> {
    const place = await this.#manager();
    const { nodeMetadata } = await import("#proto/engine-services.ts");
    const metadata = { [nodeMetadata]: nodeId };
    const options = { ...place.options, metadata, deadlineMs: engineDeadlineMs };
    return (await this.#connect(place.address, options)).service(service);
  }

  /** The next one that is asked for is looked for anew. */
  forgetManager(): void {
    this.#place = undefined;
  }

  /** The swarmd of this host. */
  async node(): Promise<NodeClient> {
    const { host, context } = this.#flags;
    if (host?.startsWith(sshScheme))
      return await this.#swarmdAt(await this.#sshSocket(host, "swarmd"));
    if (host !== undefined || context !== undefined) {
      const message =
        "This is about the host that swarmctl runs on: leave out --host and --context";
      throw new Fault("invalid-argument", message);
    }
    return await this.#swarmd();
  }

  /** The contexts of the user. */
  contexts(): ContextFolder {
    const folder = ContextFolder.find(this.io);
    if (folder !== undefined) return folder;
    const message = "There is no place for contexts: set HOME or XDG_CONFIG_HOME";
    throw new Fault("failed-precondition", message);
  }

  /** The name of the context that commands work with: the one named by flag or environment, else the one in use. */
  async contextName(): Promise<string> {
    const named = this.#flags.context ?? this.io.env["SWARM_CONTEXT"];
    return named || (await ContextFolder.find(this.io)?.current()) || defaultContextName;
  }

  /** Whether this host's own manager is meant, not one elsewhere. */
  async isHere(): Promise<boolean> {
    const host = this.#flags.host ?? this.io.env["SWARM_HOST"];
    return !host && (await this.contextName()) === defaultContextName;
  }

  /** Of a socket of this host. */
  socketPath(name: string): string {
    const runRoot = this.#flags.runRoot ?? (this.io.env["SWARM_RUN_ROOT"] || defaultRunRoot);
    const path = resolve(join(runRoot, name));
    if (Buffer.byteLength(path) <= socketPathBytesMax) return path;
    throw new Fault(
      "invalid-argument",
      `The run root "${runRoot}" is too long for a socket path: choose one of at most ${socketPathBytesMax - name.length - 1} bytes`,
    );
  }

  print(line: string): void {
    this.io.stdout.write(`${line}\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.#connections) connection[Symbol.dispose]();
    this.#connections.clear();
    await this.#far.disposeAsync();
  }

  /** Found once: a command that asks many nodes asks one manager. */
  #manager(): Promise<Place> {
    this.#place ??= this.#findManager();
    return this.#place;
  }

  async #findManager(): Promise<Place> {
    return (await this.#remotePlace()) ?? (await this.#localPlace());
  }

  /** Undefined: this host's own manager is meant. */
  async #remotePlace(): Promise<Place | undefined> {
    const host = this.#flags.host ?? this.io.env["SWARM_HOST"];
    if (host?.startsWith(sshScheme)) {
      return { address: `unix:${await this.#sshSocket(host, "manager")}`, options: {} };
    }
    const name = await this.contextName();
    if (name === defaultContextName) {
      if (!host) return undefined;
      const message = `To reach the manager at "${host}" a context with a certificate is needed: name one with --context, or see "swarmctl context --help"`;
      throw new Fault("failed-precondition", message);
    }
    const context = await this.contexts().load(name);
    const { findManager, mutualTls } = await import("./remote.ts");
    const { parseAddress } = await import("./context/saved-context.ts");
    const address = await findManager(host ? [parseAddress(host)] : context.managers);
    return { address, options: { tls: await mutualTls(context) } };
  }

  async #localPlace(): Promise<Place> {
    const path = this.socketPath("manager.sock");
    const refusal = await probe(path);
    if (refusal !== undefined) throw await this.#explainNoManager(path, refusal);
    return { address: `unix:${path}`, options: {} };
  }

  async #swarmd(): Promise<NodeClient> {
    const path = this.socketPath("swarmd.sock");
    const refusal = await probe(path);
    if (refusal !== undefined) throw refused("swarmd", path, refusal);
    return await this.#swarmdAt(path);
  }

  async #swarmdAt(path: string): Promise<NodeClient> {
    const { NodeService } = await import("#proto/gen/swarm/v1/node_pb.ts");
    return (await this.#connect(`unix:${path}`, {})).service(NodeService);
  }

  /** The path of a socket here that leads to one of the host that an address `ssh://…` names. */
  async #sshSocket(host: string, which: RemoteSocket): Promise<string> {
    this.#remote ??= this.#sshRemote(host);
    const remote = await this.#remote;
    // Says why the host cannot be reached, which a connection that ends does not.
    await remote.run(["true"]);
    return await remote.socket(which);
  }

  async #sshRemote(host: string): Promise<Remote> {
    const { parseSshAddress } = await import("#provision/ssh/ssh-address.ts");
    const { SshRemotes } = await import("#provision/ssh/ssh-remotes.ts");
    const target = parseSshAddress(host);
    const { env, signal } = this.io;
    const remotes = this.#far.use(await SshRemotes.open({ env, signal }));
    return remotes.add(target.address, target);
  }

  async #connect(address: string, options: ConnectionOptions): Promise<AnyConnection> {
    const connection = await this.#newConnection(address, options);
    this.#connections.add(connection);
    return connection;
  }

  async #newConnection(address: string, options: ConnectionOptions): Promise<AnyConnection> {
    if (address.startsWith("unix:")) {
      const { LocalConnection } = await import("#proto/local-connection.ts");
      // By the time that passes, as in grpc.ts: somebody else's clock may jump to the end of what a command waits for.
      return new LocalConnection(address, options, { clock: systemClock });
    }
    const { Connection } = await import("#proto/grpc.ts");
    return new Connection(address, options);
  }

  async #explainNoManager(path: string, refusal: string): Promise<Fault> {
    // A manager that was killed leaves its socket: whether it should be there at all, swarmd knows.
    if (refusal !== "ENOENT" && refusal !== "ECONNREFUSED") {
      return refused("the manager", path, refusal);
    }
    const info = await (await this.#swarmd()).getInfo({});
    const { NodeRole } = await import("#proto/gen/swarm/v1/types_pb.ts");
    if (info.nodeId === "") {
      return new Fault(
        "failed-precondition",
        'This host belongs to no cluster: run "swarmctl cluster init" or "swarmctl cluster join" first',
      );
    }
    if (info.locked) {
      const message = 'This host\'s manager is locked: run "swarmctl cluster unlock" first';
      return new Fault("failed-precondition", message);
    }
    if (info.role === NodeRole.MANAGER || info.managers.length === 0) {
      const reason = info.managerError || info.error || `nothing answers at "${path}"`;
      return new Fault("unavailable", `This host's manager is not running: ${reason}`);
    }
    return new Fault(
      "failed-precondition",
      `This host is not a manager; run the command on one of: ${info.managers.join(", ")}`,
    );
  }
}

interface AnyConnection extends Disposable {
  service<S extends DescService>(service: S): Client<S>;
}

interface Place {
  readonly address: string;
  readonly options: ConnectionOptions;
}

function refused(who: string, path: string, refusal: string): Fault {
  if (refusal === "EACCES" || refusal === "EPERM") {
    return new Fault("permission-denied", `Cannot reach ${who} at "${path}": run swarmctl as root`);
  }
  return new Fault(
    "unavailable",
    `Cannot reach ${who} at "${path}": is swarmd running? Start it, or name its run root with --run-root`,
  );
}

/** Why nothing answers at a socket (an errno name), or undefined where something does. Costs less than loading gRPC. */
function probe(path: string): Promise<string | undefined> {
  return new Promise((done) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      done(undefined);
    });
    socket.once("error", (error) => done(errnoOf(error) ?? "EIO"));
  });
}
