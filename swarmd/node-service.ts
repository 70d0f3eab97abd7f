/** What swarmctl says to the swarmd of its host, on the unix socket. */
import { chmod, rm, stat } from "node:fs/promises";
import { createConnection } from "node:net";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { errnoOf, Fault } from "#proto/fault.ts";
import { NodeService } from "#proto/gen/swarm/v1/node_pb.ts";
import { addService, channelOptions, type Handlers } from "#proto/grpc.ts";

/** Serves NodeService at `path`, readable by root alone, until disposed. */
export async function serveNode(
  path: string,
  handlers: Handlers<typeof NodeService>,
): Promise<AsyncDisposable> {
  await removeStaleSocket(path);
  const server = new Server(channelOptions);
  addService(server, NodeService, handlers);
  await bind(server, path);
  // Not by the umask: it is the whole process's, and containers' folders are made meanwhile.
  await chmod(path, 0o600);
  return {
    [Symbol.asyncDispose]: async () => {
      server.forceShutdown();
      await rm(path, { force: true });
    },
  };
}

function bind(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve();
      else reject(Fault.wrap(`Cannot serve on "${path}"`, error));
    });
  });
}

/** A socket that nobody answers on is left over from a crash; one that answers belongs to a living swarmd. */
async function removeStaleSocket(path: string): Promise<void> {
  const found = await stat(path).catch((thrown: unknown) => {
    if (errnoOf(thrown) === "ENOENT") return undefined;
    throw Fault.wrap(`Cannot look at "${path}"`, thrown);
  });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new Fault("failed-precondition", `"${path}" is not a socket: move it away`);
  }
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const probe = createConnection(path, () => resolve(true));
  probe.on("error", (error) => {
    if (errnoOf(error) === "ECONNREFUSED" || errnoOf(error) === "ENOENT") resolve(false);
    else reject(Fault.wrap(`Cannot look at "${path}"`, error));
  });
  const alive = await promise.finally(() => probe.destroy());
  if (alive) {
    throw new Fault(
      "failed-precondition",
      `another swarmd serves on "${path}": stop it, or give this one another --run-root`,
    );
  }
  await rm(path, { force: true });
}
