/**
 * What every command's action works with: the invocation's streams and, on demand, connections to the two sockets of this
 * host. It owns the connections and closes them. gRPC is imported here and only when a connection is wanted, because it
 * takes longer to load than everything else together.
 */
import { connect } from "node:net";
import { join, resolve } from "node:path";
import type { DescService } from "@bufbuild/protobuf";
import { errnoOf, Fault } from "#proto/fault.ts";
import type { Client, Connection } from "#proto/grpc.ts";
import type { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import type { NodeService } from "#proto/gen/swarm/v1/node_pb.ts";
import type { Io } from "./io.ts";

export const defaultRunRoot = "/run/swarm";

export type ControlClient = Client<typeof ControlService>;
export type NodeClient = Client<typeof NodeService>;

/** Linux refuses longer paths of sockets. */
const socketPathBytesMax = 107;

export class Context implements AsyncDisposable {
  readonly io: Io;
  readonly #connections = new Set<Connection>();
  #runRoot: string;

  constructor(io: Io) {
    this.io = io;
    this.#runRoot = io.env["SWARM_RUN_ROOT"] || defaultRunRoot;
  }

  useRunRoot(directory: string): void {
    this.#runRoot = directory;
  }

  /** The manager of this host. */
  async control(): Promise<ControlClient> {
    const path = this.#socket("manager.sock");
    const refusal = await probe(path);
    if (refusal !== undefined) throw await this.#explainNoManager(path, refusal);
    const { ControlService } = await import("#proto/gen/swarm/v1/control_pb.ts");
    return this.#connect(path, ControlService);
  }

  /** The swarmd of this host. */
  async node(): Promise<NodeClient> {
    const path = this.#socket("swarmd.sock");
    const refusal = await probe(path);
    if (refusal !== undefined) throw refused("swarmd", path, refusal);
    const { NodeService } = await import("#proto/gen/swarm/v1/node_pb.ts");
    return this.#connect(path, NodeService);
  }

  print(line: string): void {
    this.io.stdout.write(`${line}\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.#connections) connection[Symbol.dispose]();
    this.#connections.clear();
  }

  async #connect<S extends DescService>(path: string, service: S): Promise<Client<S>> {
    const { Connection } = await import("#proto/grpc.ts");
    const connection = new Connection(`unix:${path}`);
    this.#connections.add(connection);
    return connection.service(service);
  }

  #socket(name: string): string {
    const path = resolve(join(this.#runRoot, name));
    if (Buffer.byteLength(path) <= socketPathBytesMax) return path;
    throw new Fault(
      "invalid-argument",
      `The run root "${this.#runRoot}" is too long for a socket path: choose one of at most ${socketPathBytesMax - name.length - 1} bytes`,
    );
  }

  async #explainNoManager(path: string, refusal: string): Promise<Fault> {
    if (refusal !== "ENOENT") return refused("the manager", path, refusal);
    const swarmd = await this.node();
    const info = await swarmd.getInfo({});
    if (info.nodeId === "") {
      return new Fault(
        "failed-precondition",
        'This host belongs to no cluster: run "swarmctl cluster init" or "swarmctl cluster join" first',
      );
    }
    if (info.managers.length === 0) {
      return new Fault("unavailable", `This host's manager is not running: no socket at "${path}"`);
    }
    return new Fault(
      "failed-precondition",
      `This host is not a manager; run the command on one of: ${info.managers.join(", ")}`,
    );
  }
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
