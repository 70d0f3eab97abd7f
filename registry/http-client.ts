/**
 * Requests with a deadline on every wait. Owns connections, proxies and redirects; knows nothing of registries. Where a
 * redirect leads to another host, or from HTTPS to HTTP, it goes without the request's authorization.
 *
 * Node's `http` and not `fetch`: fetch undoes a Content-Encoding by itself, which would change the bytes that a digest
 * is about, and it hides the errno of a failed connection. Bodies are streams: nothing is read that nobody asks for.
 */
import http from "node:http";
import https from "node:https";
import tls from "node:tls";
import { errnoOf, Fault } from "#proto/fault.ts";
import type { Clock } from "#proto/ports.ts";
import type { HostTrust } from "./host-trust.ts";
import { type Proxy, proxyFor } from "./proxy.ts";

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
  /** GET where it is not given. */
  readonly method?: "GET" | "HEAD" | "POST";
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly content?: string;
  readonly signal: AbortSignal;
}

export interface HttpOptions {
  readonly deadlines: HttpDeadlines;
  readonly proxy?: Proxy;
  /** Of a HOST[:PORT]; undefined: nothing but what every host trusts. */
  readonly trustOf?: (host: string) => Promise<HostTrust | undefined>;
  /** HOST[:PORT] whose certificate nobody has to vouch for. */
  readonly isInsecure?: (host: string) => boolean;
}

/** A server that does not know TLS answers a TLS greeting with something else, or not at all. */
const plainAnswers: ReadonlySet<string> = new Set([
  "ERR_SSL_WRONG_VERSION_NUMBER",
  "ERR_SSL_PACKET_LENGTH_TOO_LONG",
  "ERR_SSL_HTTP_REQUEST",
  "EPROTO",
  "ECONNRESET",
]);

const redirectsMax = 5;
const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** Connections that are kept open to one registry; more may be opened for a while. */
const idleConnectionsMax = 4;

/** The connections of a host with certificates of its own, and what those were when it was made. */
interface HostAgent {
  readonly print: string;
  readonly agent: https.Agent;
}

export class HttpClient implements Disposable {
  readonly #options: HttpOptions;
  readonly #clock: Clock;
  /** By proxy; "" is directly. */
  readonly #plain = new Map<string, http.Agent>();
  readonly #secure = new Map<string, https.Agent>();
  readonly #ofHosts = new Map<string, HostAgent>();
  /** Made once: reading some hundred certificates keeps the event loop busy for tens of milliseconds. */
  #known: tls.SecureContext | undefined;

  constructor(options: HttpOptions, modules: { readonly clock: Clock }) {
    this.#options = options;
    this.#clock = modules.clock;
  }

  /** Follows redirects: registries send blobs from elsewhere. */
  async send(request: HttpRequest): Promise<HttpResponse> {
    let { url, headers } = request;
    for (let hops = 0; hops <= redirectsMax; hops += 1) {
      const message = await this.#perform({ ...request, url, headers });
      const status = message.statusCode ?? 0;
      const location = message.headers.location;
      if (!redirects.has(status) || location === undefined || request.method === "POST") {
        const body = this.#read(message, { ...request, url });
        return { status, headers: message.headers, body };
      }
      message.destroy();
      const next = parseLocation(location, url);
      if (next.origin !== url.origin) headers = withoutAuthorization(headers);
      url = next;
    }
    throw new Fault(
      "unavailable",
      `"${request.url.host}" redirects more than ${redirectsMax} times`,
    );
  }

  [Symbol.dispose](): void {
    const ofHosts = [...this.#ofHosts.values()].map(({ agent }) => agent);
    for (const agent of [...this.#plain.values(), ...this.#secure.values(), ...ofHosts]) {
      agent.destroy();
    }
  }

  /** Resolves when the answer's headers are here. */
  async #perform(wanted: HttpRequest): Promise<http.IncomingMessage> {
    const { url, signal, content, method = "GET" } = wanted;
    const agent = await this.#agentFor(url);
    return await new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const { headersMs } = this.#options.deadlines;
      let awaited = `a connection to "${url.host}"`;
      const request = start(wanted, agent);
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
          awaited = `the answer of "${url.host}" to ${method} ${url.pathname}`;
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
      request.end(content);
    });
  }

  async #agentFor(url: URL): Promise<http.Agent> {
    const { proxy, trustOf, isInsecure } = this.#options;
    const through = proxy === undefined ? undefined : proxyFor(url, proxy);
    if (url.protocol === "http:") {
      return ensure(this.#plain, through ?? "", () => new http.Agent(agentOptions(url, through)));
    }
    const trust = await trustOf?.(url.host);
    const insecure = isInsecure?.(url.host) === true;
    if (trust !== undefined || insecure) return this.#agentOf(url, through, { trust, insecure });
    this.#known ??= tls.createSecureContext({ ca: knownAuthorities() });
    const options = { ...agentOptions(url, through), secureContext: this.#known };
    return ensure(this.#secure, through ?? "", () => new https.Agent(options));
  }

  #agentOf(
    url: URL,
    through: string | undefined,
    { trust, insecure }: { readonly trust: HostTrust | undefined; readonly insecure: boolean },
  ): https.Agent {
    const print = JSON.stringify([through, trust, insecure]);
    const found = this.#ofHosts.get(url.host);
    if (found?.print === print) return found.agent;
    const { authorities = [], clients = [] } = trust ?? {};
    const secureContext = secureContextFor(url.host, {
      ca: insecure ? [] : [...knownAuthorities(), ...authorities],
      cert: clients.map(({ certificate }) => certificate),
      key: clients.map(({ key }) => key),
    });
    const options = { ...agentOptions(url, through), rejectUnauthorized: !insecure };
    const agent = new https.Agent({ ...options, secureContext });
    this.#ofHosts.set(url.host, { print, agent });
    return agent;
  }

  /** Only the wait for the network counts against the deadline, not the time that the reader takes. */
  async *#read(
    message: http.IncomingMessage,
    { url, signal }: HttpRequest,
  ): AsyncGenerator<Buffer> {
    const { stallMs } = this.#options.deadlines;
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

function start(
  { method = "GET", url, headers, content }: HttpRequest,
  agent: http.Agent,
): http.ClientRequest {
  const length = content === undefined ? {} : { "content-length": Buffer.byteLength(content) };
  // Without Accept-Encoding a server may choose; the bytes are wanted as their digest has them.
  const options = {
    method,
    agent,
    headers: { ...headers, ...length, "accept-encoding": "identity" },
  };
  return url.protocol === "http:" ? http.request(url, options) : https.request(url, options);
}

function agentOptions(url: URL, proxy: string | undefined): http.AgentOptions {
  const name = url.protocol === "https:" ? "HTTPS_PROXY" : "HTTP_PROXY";
  return {
    keepAlive: true,
    maxFreeSockets: idleConnectionsMax,
    ...(proxy !== undefined && { proxyEnv: { [name]: proxy } }),
  };
}

/** What Node brings and what the host's administrator added, which is mostly the same. */
function knownAuthorities(): string[] {
  const all = [...tls.getCACertificates("default"), ...tls.getCACertificates("system")];
  return [...new Map(all.map((pem) => [pem.replace(/\s/g, ""), pem])).values()];
}

function secureContextFor(host: string, options: tls.SecureContextOptions): tls.SecureContext {
  try {
    return tls.createSecureContext(options);
  } catch (thrown) {
    // OpenSSL's words name no content.
    const reason = Fault.from(thrown).message;
    throw new Fault("failed-precondition", `Cannot use the certificates for "${host}": ${reason}`);
  }
}

function ensure<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
}

function withoutAuthorization(headers: HttpRequest["headers"]): HttpRequest["headers"] {
  const { authorization: _, ...others } = headers;
  return others;
}

/** Whether the request failed because an HTTPS request met a server of plain HTTP, as far as can be told. */
export function mayBePlain({ cause }: Fault): boolean {
  return plainAnswers.has(errnoOf(cause) ?? "");
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
      `"${url.host}" does not speak HTTPS: for plain HTTP start swarmd with --insecure-registry ${url.host}, and log in with --insecure`,
      { cause: error },
    );
  }
  if (says.includes("certificate")) {
    return new Fault(
      "failed-precondition",
      `${says}: add its authority to the host's certificates, or as /etc/docker/certs.d/${url.host}/ca.crt`,
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
