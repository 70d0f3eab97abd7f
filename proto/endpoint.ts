/**
 * Where a program is reached: a gRPC server on a unix socket that only root can open, or on a TCP address. Managers
 * serve with TLS there. Disposing of an endpoint gives its calls a moment to end, and ends them.
 */
import { chmod, rm, stat } from "node:fs/promises";
import { createConnection, createServer, type ListenOptions, type Server } from "node:net";
import type { Caller } from "./caller.ts";
import { errnoOf, Fault } from "./fault.ts";
import { messageBytesMax } from "./grpc.ts";
import { GrpcServer } from "./grpc-server.ts";
import { formatHostPort, parseHostPort } from "./host-port.ts";
import type { Clock } from "./ports.ts";
import { type ServerTls, TlsListener } from "./tls/tls-listener.ts";

/** What calls in progress get to end by themselves. */
const drainMs = 500;
/** Of these those that will have one answer: a write may wait for another manager to lead. */
const answersMs = 3_000;

/** At a time on one connection; more wait at their client. Each takes some kilobytes, before it has said anything. */
const callsMax = 1_000;

/** In MB, for each connection of those who are known: some of the largest messages. */
const memoryMax = 256;

/** A stranger's largest message is a request for a certificate. Whatever more could come would wait in memory. */
const strangerOptions = { messageBytesMax: 128 * 1024, callsMax: 4 };

export interface EndpointOptions {
  /** For TCP addresses. Absent: in plain text, where every caller is anonymous. */
  readonly tls?: ServerTls;
  /** Called for each server that there is: with TLS, strangers have one of their own. */
  readonly addServices: (server: GrpcServer) => void;
  /** Whose endpoint it is, for messages. */
  readonly owner: "manager" | "swarmd";
}

export interface Endpoint extends AsyncDisposable {
  /** As given, with the port that was chosen where 0 was asked for. */
  readonly address: string;
}

/** Serves at "HOST:PORT" or "unix:/path". */
export async function serveEndpoint(
  address: string,
  options: EndpointOptions,
  { clock }: { readonly clock: Clock },
): Promise<Endpoint> {
  const server = new GrpcServer({ messageBytesMax, callsMax, memoryMax }, { clock });
  options.addServices(server);
  if (address.startsWith("unix:")) {
    return serveSocket(address.slice("unix:".length), server, options.owner);
  }
  const { host, port } = parseHostPort(address);
  const { tls } = options;
  if (tls === undefined) {
    const caller: Caller = { kind: "anonymous", problem: "the connection is not encrypted" };
    return await servePlain(formatHostPort(host, port), { host, port }, { server, caller });
  }
  const forStrangers = new GrpcServer(strangerOptions, { clock });
  options.addServices(forStrangers);
  const listener = new TlsListener(tls, { grpc: server, forStrangers, clock });
  const bound = await listener.listen(host, port).catch((thrown: unknown) => {
    throw listenFault(address, thrown);
  });
  return {
    address: formatHostPort(host, bound),
    [Symbol.asyncDispose]: async () => {
      using ending = listener;
      ending.stop();
      await Promise.all([server.close(drainMs, answersMs), forStrangers.close(drainMs)]);
    },
  };
}

async function serveSocket(
  path: string,
  server: GrpcServer,
  owner: EndpointOptions["owner"],
): Promise<Endpoint> {
  await removeStaleSocket(path, owner);
  const endpoint = await servePlain(
    `unix:${path}`,
    { path },
    { server, caller: { kind: "local" } },
  );
  // Not by the umask: it is the whole process's, and containers' folders are made meanwhile.
  await chmod(path, 0o600);
  return {
    address: endpoint.address,
    [Symbol.asyncDispose]: async () => {
      await endpoint[Symbol.asyncDispose]();
      await rm(path, { force: true });
    },
  };
}

/** Serves connections as they come, all of them the caller's. */
async function servePlain(
  address: string,
  place: ListenOptions,
  { server, caller }: { readonly server: GrpcServer; readonly caller: Caller },
): Promise<Endpoint> {
  const listener = createServer({ noDelay: true }, (socket) => server.serve(socket, caller));
  const bound = await listen(listener, address, place);
  const { host } = place;
  return {
    address: host === undefined ? address : formatHostPort(host, bound),
    [Symbol.asyncDispose]: async () => {
      listener.close();
      await server.close(drainMs, answersMs);
    },
  };
}

/** Resolves with the port, where there is one. */
function listen(listener: Server, address: string, place: ListenOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    listener.once("error", (error) => reject(listenFault(address, error)));
    listener.listen(place, () => {
      const bound = listener.address();
      resolve(bound !== null && typeof bound === "object" ? bound.port : 0);
    });
  });
}

function listenFault(address: string, thrown: unknown): Fault {
  const problem =
    errnoOf(thrown) === "EADDRINUSE"
      ? "the address is in use; stop the program that has it, or choose another"
      : Fault.from(thrown).message;
  const options = { cause: thrown };
  return new Fault("failed-precondition", `Cannot listen on ${address}: ${problem}`, options);
}

/** A socket that nobody answers on is left over from a crash; one that answers belongs to a living program. */
async function removeStaleSocket(path: string, owner: EndpointOptions["owner"]): Promise<void> {
  const found = await stat(path).catch((thrown: unknown) => {
    if (errnoOf(thrown) === "ENOENT") return undefined;
    throw Fault.wrap(`Cannot listen on "${path}"`, thrown);
  });
  if (found === undefined) return;
  const refused = (why: string) =>
    new Fault("failed-precondition", `Cannot listen on "${path}": ${why}`);
  if (!found.isSocket()) throw refused("it is not a socket; move it away");
  if (await answers(path)) {
    throw refused(
      `another ${owner} serves there; stop that one first, or give this one another --run-root`,
    );
  }
  await rm(path, { force: true });
}

function answers(path: string): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const probe = createConnection(path, () => resolve(true));
  probe.on("error", (error) => {
    const errno = errnoOf(error);
    if (errno === "ECONNREFUSED" || errno === "ENOENT") resolve(false);
    else reject(Fault.wrap(`Cannot listen on "${path}"`, error));
  });
  return promise.finally(() => probe.destroy());
}
