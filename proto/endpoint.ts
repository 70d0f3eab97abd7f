/**
 * Where a program is reached: a gRPC server on a unix socket that only root can open, or on a TCP address. Managers
 * serve with TLS there. Disposing of an endpoint gives its calls a moment to end, and ends them.
 */
import { chmod, rm, stat } from "node:fs/promises";
import { createConnection, isIPv6 } from "node:net";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { errnoOf, Fault } from "./fault.ts";
import { channelOptions } from "./grpc.ts";
import type { Clock } from "./ports.ts";
import { identifiedCredentials } from "./tls/identified-credentials.ts";
import { type ServerTls, TlsListener } from "./tls/tls-listener.ts";

/** What calls in progress get to end by themselves. */
const drainMs = 500;

/** A stranger's largest message is a request for a certificate. Whatever more could come would wait in memory. */
const strangerOptions = {
  ...channelOptions,
  "grpc.max_receive_message_length": 128 * 1024,
  "grpc.max_concurrent_streams": 4,
};

export interface EndpointOptions {
  /** For TCP addresses. Absent: in plain text, where every caller is anonymous. */
  readonly tls?: ServerTls;
  /** Called for each server that there is: with TLS, strangers have one of their own. */
  readonly addServices: (server: Server) => void;
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
  const server = new Server(channelOptions);
  options.addServices(server);
  if (address.startsWith("unix:")) {
    return serveSocket(address.slice("unix:".length), server, { owner: options.owner, clock });
  }
  const { host, port } = parseAddress(address);
  if (options.tls === undefined) {
    const bound = await bind(server, address, ServerCredentials.createInsecure());
    return { address: withPort(host, bound), [Symbol.asyncDispose]: () => close(server, clock) };
  }
  const forStrangers = new Server(strangerOptions);
  options.addServices(forStrangers);
  const listener = new TlsListener(options.tls, { grpc: server, forStrangers, clock });
  const bound = await listener.listen(host, port).catch((thrown: unknown) => {
    throw listenFault(address, Fault.from(thrown));
  });
  return {
    address: withPort(host, bound),
    [Symbol.asyncDispose]: async () => {
      using ending = listener;
      ending.stop();
      await Promise.all([close(server, clock), close(forStrangers, clock)]);
    },
  };
}

async function serveSocket(
  path: string,
  server: Server,
  { owner, clock }: { readonly owner: EndpointOptions["owner"]; readonly clock: Clock },
): Promise<Endpoint> {
  await removeStaleSocket(path, owner);
  await bind(server, `unix:${path}`, identifiedCredentials({ kind: "local" }));
  // Not by the umask: it is the whole process's, and containers' folders are made meanwhile.
  await chmod(path, 0o600);
  return {
    address: `unix:${path}`,
    [Symbol.asyncDispose]: async () => {
      await close(server, clock);
      await rm(path, { force: true });
    },
  };
}

/** Resolves with the port. */
function bind(server: Server, address: string, credentials: ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, port) => {
      if (error === null) resolve(port);
      else reject(listenFault(address, error));
    });
  });
}

function parseAddress(address: string): { host: string; port: number } {
  const [, bracketed, plain, port] =
    /^(?:\[([0-9a-fA-F:.]+)\]|([^:]+)):([0-9]{1,5})$/.exec(address) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || Number(port) > 65_535) {
    throw new Fault("invalid-argument", `"${address}" is not of the form HOST:PORT`);
  }
  return { host, port: Number(port) };
}

function withPort(host: string, port: number): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

/** grpc-js tells the reason in words only. */
function listenFault(address: string, error: Error): Fault {
  const inUse = /EADDRINUSE|address is in use/.test(error.message);
  const problem = inUse
    ? "the address is in use; stop the program that has it, or choose another"
    : error.message;
  const options = { cause: error };
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

async function close(server: Server, clock: Clock): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  using _deadline = clock.timer(drainMs, () => server.forceShutdown());
  server.tryShutdown(() => resolve());
  await promise;
}
