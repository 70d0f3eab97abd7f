/** Where the manager is reached: a gRPC server on a TCP address or a unix socket. Disposing of it ends its calls. */
import { chmod, stat, unlink } from "node:fs/promises";
import { createConnection } from "node:net";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { errnoOf, Fault } from "#proto/fault.ts";
import { channelOptions } from "#proto/grpc.ts";
import type { Clock } from "#proto/ports.ts";

/** What calls in progress get to end by themselves. */
const drainMs = 500;

/** Serves what `addServices` adds at "HOST:PORT" or "unix:/path". */
export async function serveEndpoint(
  address: string,
  addServices: (server: Server) => void,
  { clock }: { readonly clock: Clock },
): Promise<AsyncDisposable> {
  const socketPath = address.startsWith("unix:") ? address.slice("unix:".length) : undefined;
  if (socketPath !== undefined) await removeStaleSocket(socketPath);
  const server = new Server(channelOptions);
  addServices(server);
  await bind(server, address);
  if (socketPath !== undefined) await chmod(socketPath, 0o600);
  return { [Symbol.asyncDispose]: () => close(server, clock) };
}

function bind(server: Server, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve();
      else reject(listenFault(address, error));
    });
  });
}

/** grpc-js tells the reason in words only. */
function listenFault(address: string, error: Error): Fault {
  const inUse = error.message.includes("EADDRINUSE");
  const problem = inUse
    ? "the address is in use; stop the program that has it, or choose another"
    : error.message;
  const options = { cause: error };
  return new Fault("failed-precondition", `Cannot listen on ${address}: ${problem}`, options);
}

/** A killed manager leaves its socket's file behind. A live one is refused. */
async function removeStaleSocket(path: string): Promise<void> {
  const found = await stat(path).catch((thrown: unknown) => {
    if (errnoOf(thrown) === "ENOENT") return undefined;
    throw Fault.wrap(`Cannot listen on "${path}"`, thrown);
  });
  if (found === undefined) return;
  if (!found.isSocket()) {
    const message = `Cannot listen on "${path}": it is not a socket; move it away`;
    throw new Fault("failed-precondition", message);
  }
  if (await answers(path)) {
    const message = `Cannot listen on "${path}": another manager serves there; stop that one first`;
    throw new Fault("failed-precondition", message);
  }
  await unlink(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    const end = (answered: boolean) => {
      socket.destroy();
      resolve(answered);
    };
    socket.on("connect", () => end(true));
    socket.on("error", () => end(false));
  });
}

async function close(server: Server, clock: Clock): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  using _deadline = clock.timer(drainMs, () => server.forceShutdown());
  server.tryShutdown(() => resolve());
  await promise;
}
