/**
 * GET requests with a deadline on every wait. Owns connections and redirects; knows nothing of registries.
 *
 * Node's `http` and not `fetch`: fetch undoes a Content-Encoding by itself, which would change the bytes that a digest
 * is about, and it hides the errno of a failed connection. Bodies are streams: nothing is read that nobody asks for.
 */
import http from "node:http";
import https from "node:https";
import tls from "node:tls";
import { Fault } from "#proto/fault.ts";
import type { Clock } from "#proto/ports.ts";

export interface HttpDeadlines {
  /** Name look-up, connection and the answer's headers, together. */
  readonly headersMs: number;
  /** Between two pieces of a body. */
  readonly stallMs: number;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  /** To be read to its end or returned early; either way the connection is free again or closed. */
  readonly body: AsyncIterable<Buffer>;
}

export interface HttpRequest {
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

const redirectsMax = 5;
const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** Connections that are kept open to one registry; more may be opened for a while. */
const idleConnectionsMax = 4;

export class HttpClient implements Disposable {
  readonly #deadlines: HttpDeadlines;
  readonly #clock: Clock;
  readonly #plain = new http.Agent({ keepAlive: true, maxFreeSockets: idleConnectionsMax });
  #secure: https.Agent | undefined;

  constructor(deadlines: HttpDeadlines, modules: { readonly clock: Clock }) {
    this.#deadlines = deadlines;
    this.#clock = modules.clock;
  }

  /** Follows redirects: registries send blobs from elsewhere. */
  async get(request: HttpRequest): Promise<HttpResponse> {
    let url = request.url;
    for (let hops = 0; hops <= redirectsMax; hops += 1) {
      const message = await this.#perform({ ...request, url });
      const status = message.statusCode ?? 0;
      const location = message.headers.location;
      if (!redirects.has(status) || location === undefined) {
        const body = this.#read(message, { ...request, url });
        return { status, headers: message.headers, body };
      }
      message.destroy();
      url = parseLocation(location, url);
    }
    throw new Fault(
      "unavailable",
      `"${request.url.host}" redirects more than ${redirectsMax} times`,
    );
  }

  [Symbol.dispose](): void {
    this.#plain.destroy();
    this.#secure?.destroy();
  }

  /** Resolves when the answer's headers are here. */
  #perform({ url, headers, signal }: HttpRequest): Promise<http.IncomingMessage> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const { headersMs } = this.#deadlines;
      let awaited = `a connection to "${url.host}"`;
      const request = this.#start(url, headers);
      const onAbort = () => request.destroy(Fault.from(signal.reason));
      signal.addEventListener("abort", onAbort, { once: true });
      const timer = this.#clock.timer(headersMs, () =>
        request.destroy(tooLate(awaited, headersMs)),
      );
      const settle = () => {
        timer[Symbol.dispose]();
        signal.removeEventListener("abort", onAbort);
      };
      request.on("socket", (socket) => {
        const onConnect = () => {
          awaited = `the answer of "${url.host}" to GET ${url.pathname}`;
        };
        if (socket.connecting) socket.once("connect", onConnect);
        else onConnect();
      });
      // Stays on after the headers: an error of the connection is then also one of the body, which reports it.
      request.on("error", (error) => {
        settle();
        reject(connectionFault(url, error));
      });
      request.on("response", (message) => {
        settle();
        // A connection that breaks before the body is read must not be an unhandled event: reading reports it.
        message.on("error", () => {});
        resolve(message);
      });
      request.end();
    });
  }

  #start(url: URL, headers: Readonly<Record<string, string>>): http.ClientRequest {
    // Without Accept-Encoding a server may choose; the bytes are wanted as their digest has them.
    const options = { headers: { ...headers, "accept-encoding": "identity" } };
    if (url.protocol === "http:") return http.request(url, { ...options, agent: this.#plain });
    return https.request(url, { ...options, agent: this.#secureAgent() });
  }

  /** Trusts what Node brings and what the host's administrator added. Made late: reading them takes a moment. */
  #secureAgent(): https.Agent {
    this.#secure ??= new https.Agent({
      keepAlive: true,
      maxFreeSockets: idleConnectionsMax,
      ca: [...tls.getCACertificates("default"), ...tls.getCACertificates("system")],
    });
    return this.#secure;
  }

  /** Only the wait for the network counts against the deadline, not the time that the reader takes. */
  async *#read(
    message: http.IncomingMessage,
    { url, signal }: HttpRequest,
  ): AsyncGenerator<Buffer> {
    const { stallMs } = this.#deadlines;
    const stalled = () =>
      message.destroy(tooLate(`more of ${url.pathname} from "${url.host}"`, stallMs));
    const onAbort = () => message.destroy(Fault.from(signal.reason));
    signal.addEventListener("abort", onAbort, { once: true });
    const chunks: AsyncIterator<Buffer> = message[Symbol.asyncIterator]();
    try {
      while (true) {
        signal.throwIfAborted();
        using _deadline = this.#clock.timer(stallMs, stalled);
        const next = await chunks.next();
        if (next.done === true) return;
        yield next.value;
      }
    } catch (error) {
      throw bodyFault(url, error);
    } finally {
      signal.removeEventListener("abort", onAbort);
      await chunks.return?.();
    }
  }
}

function parseLocation(location: string, from: URL): URL {
  const url = URL.parse(location, from.href);
  if (url !== null && (url.protocol === "http:" || url.protocol === "https:")) return url;
  throw new Fault("unavailable", `"${from.host}" redirects to "${location}", which is no address`);
}

function tooLate(awaited: string, ms: number): Fault {
  return new Fault("deadline-exceeded", `waited ${ms / 1000} s for ${awaited}`);
}

function connectionFault(url: URL, error: unknown): Fault {
  if (error instanceof Fault) return error;
  const says = Fault.wrap(`cannot reach "${url.host}"`, error).message;
  if (says.includes("wrong version number") || says.includes("packet length too long")) {
    return new Fault(
      "failed-precondition",
      `"${url.host}" does not speak HTTPS: start swarmd with --insecure-registry ${url.host} to use plain HTTP`,
      { cause: error },
    );
  }
  if (says.includes("certificate")) {
    return new Fault(
      "failed-precondition",
      `${says}: add its authority to the host's certificates`,
      {
        cause: error,
      },
    );
  }
  return new Fault("unavailable", says, { cause: error });
}

function bodyFault(url: URL, error: unknown): Fault {
  if (error instanceof Fault) return error;
  return new Fault(
    "unavailable",
    `"${url.host}" broke off in the middle of ${url.pathname}: ${Fault.from(error).message}`,
    { cause: error },
  );
}
