/**
 * Requests to one endpoint of a registry, with the login that is for it. Finds out whether an insecure one speaks HTTPS,
 * and keeps that in mind.
 */
import { digestOf } from "./digest.ts";
import { Authenticator, type Demand, noCredentials, refused } from "./authenticator.ts";
import { type Credentials, parseRegistryAuth } from "./credentials.ts";
import { type Endpoint, isInsecure, type RegistrySettings } from "./endpoints.ts";
import { readHostTrust } from "./host-trust.ts";
import {
  HttpClient,
  type HttpDeadlines,
  type HttpRequest,
  type HttpResponse,
  mayBePlain,
} from "./http-client.ts";
import { Fault } from "#proto/fault.ts";
import { readLogin } from "./login-file.ts";
import { discard } from "./read-body.ts";
import type { RetryModules } from "./retry.ts";

/** Whose request it is. */
export interface Access {
  readonly signal: AbortSignal;
  /** A login in the form of Docker's X-Registry-Auth. It comes before one in the file, and is never for a mirror. */
  readonly registryAuth?: string | undefined;
}

export interface EndpointRequest {
  readonly method?: "GET" | "HEAD";
  /** Below "/v2/". */
  readonly path: string;
  /** Empty: no image's. */
  readonly repository: string;
  readonly headers: Readonly<Record<string, string>>;
}

const userAgent = "swarmd";

export class EndpointClient implements Disposable {
  readonly #settings: RegistrySettings;
  readonly #http: HttpClient;
  readonly #authenticator: Authenticator;
  /** What insecure hosts turned out to speak. */
  readonly #protocols = new Map<string, "http:" | "https:">();

  constructor(settings: RegistrySettings, deadlines: HttpDeadlines, modules: RetryModules) {
    this.#settings = settings;
    const { certificateFolders = [], proxy } = settings;
    const insecure = (host: string) => isInsecure(host, settings.insecureRegistries);
    this.#http = new HttpClient(
      {
        deadlines,
        ...(proxy !== undefined && { proxy }),
        trustOf: (host) => readHostTrust(certificateFolders, host),
        isInsecure: insecure,
      },
      modules,
    );
    this.#authenticator = new Authenticator(
      { isInsecure: insecure },
      { http: this.#http, clock: modules.clock },
    );
  }

  [Symbol.dispose](): void {
    this.#http[Symbol.dispose]();
  }

  /** With a login where one is asked for. Any answer but a refused login is the caller's to judge. */
  async send(endpoint: Endpoint, request: EndpointRequest, access: Access): Promise<HttpResponse> {
    const login = endpoint.isMirror ? "" : (access.registryAuth ?? "");
    const key = [endpoint.host, request.repository, digestOf(Buffer.from(login))].join(" ");
    const known = this.#authenticator.header(key);
    const first = await this.#attempt(endpoint, request, access, known);
    if (first.status !== 401) return first;
    await discard(first);
    // Another request may have a new token meanwhile; else the one that was used, if any, has been worth nothing.
    const newer = this.#authenticator.header(key);
    const demand = { key, ...(await this.#demand(endpoint, request, access)) };
    const { registry, credentials } = demand;
    const isNew = newer !== undefined && newer !== known;
    const header = isNew ? newer : await this.#authenticator.answer(first.headers, demand);
    const response = await this.#attempt(endpoint, request, access, header);
    if (response.status !== 401) return response;
    await discard(response);
    throw credentials === undefined ? noCredentials(registry) : refused(registry, credentials);
  }

  async #demand(
    { registry, isMirror }: Endpoint,
    { repository }: EndpointRequest,
    { signal, registryAuth }: Access,
  ): Promise<Omit<Demand, "key">> {
    const given = isMirror || !registryAuth ? undefined : parseRegistryAuth(registryAuth);
    const credentials = given ?? (await this.#storedLogin(registry));
    const scope = repository === "" ? undefined : `repository:${repository}:pull`;
    return { registry, credentials, scope, signal };
  }

  async #storedLogin(registry: string): Promise<Credentials | undefined> {
    const { credentialsFile } = this.#settings;
    return credentialsFile === undefined ? undefined : await readLogin(credentialsFile, registry);
  }

  async #attempt(
    endpoint: Endpoint,
    request: EndpointRequest,
    { signal }: Access,
    authorization: string | undefined,
  ): Promise<HttpResponse> {
    const { host } = endpoint;
    const headers = {
      ...request.headers,
      "user-agent": userAgent,
      ...(authorization !== undefined && { authorization }),
    };
    const send = async (protocol: string) => {
      const url = new URL(`${protocol}//${host}${endpoint.path}/v2/${request.path}`);
      const { method = "GET" } = request;
      const wanted: HttpRequest = { method, url, headers, signal };
      return await this.#http.send(wanted);
    };
    if (endpoint.protocol !== undefined) return await send(endpoint.protocol);
    if (!isInsecure(host, this.#settings.insecureRegistries)) return await send("https:");
    return await this.#sendInsecurely(host, send);
  }

  /** What a host spoke last time is spoken again, until that fails; else HTTPS is tried before HTTP. */
  async #sendInsecurely(
    host: string,
    send: (protocol: "http:" | "https:") => Promise<HttpResponse>,
  ): Promise<HttpResponse> {
    const known = this.#protocols.get(host);
    try {
      const found =
        known === undefined
          ? await tryBoth(send)
          : { protocol: known, answered: await send(known) };
      this.#protocols.set(host, found.protocol);
      // The answer of a server that knows TLS alone to a request without it.
      if (found.answered.status === 400) this.#protocols.delete(host);
      return found.answered;
    } catch (error) {
      this.#protocols.delete(host);
      throw error;
    }
  }
}

async function tryBoth(send: (protocol: "http:" | "https:") => Promise<HttpResponse>) {
  try {
    return { protocol: "https:", answered: await send("https:") } as const;
  } catch (error) {
    const fault = Fault.from(error);
    if (!mayBePlain(fault)) throw fault;
    const answered = await send("http:");
    if (answered.status !== 400) return { protocol: "http:", answered } as const;
    await discard(answered);
    throw fault;
  }
}
