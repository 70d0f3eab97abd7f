/**
 * Client of the OCI distribution protocol, as far as pulling needs it. Manifests come whole and verified; blobs come as
 * streams that go on where a connection broke, and that the caller verifies while storing them. A registry's mirrors are
 * asked first; whatever is wrong with one, the next is asked. Requests that failed in passing are made again a few times.
 */
import { isDeepStrictEqual } from "node:util";
import { type Code, Fault } from "#proto/fault.ts";
import { blobStream } from "./blob-stream.ts";
import { digestOf, isDigest } from "./digest.ts";
import { type Access, EndpointClient, type EndpointRequest } from "./endpoint-client.ts";
import { type Endpoint, endpointsOf, ownEndpoint, type RegistrySettings } from "./endpoints.ts";
import type { HttpDeadlines, HttpResponse } from "./http-client.ts";
import { type Descriptor, manifestAccept, manifestBytesMax, parseManifest } from "./manifest.ts";
import { discard, readAll, readError } from "./read-body.ts";
import type { Reference } from "./reference.ts";
import { passingFault, retried, retryAfterMs, type RetryModules } from "./retry.ts";

export interface RegistryOptions extends RegistrySettings {
  readonly deadlines?: HttpDeadlines;
  readonly backoffMs?: number;
}

const deadlinesDefault: HttpDeadlines = { headersMs: 10_000, stallMs: 15_000 };
const attemptsMax = 3;

/** Before the second attempt; twice as much before each further one. */
const backoffMsDefault = 300;

/** Else each layer of an image would wait anew for a mirror that is switched off. */
const mirrorAwayMs = 30_000;
const awayCodes: ReadonlySet<Code> = new Set<Code>(["unavailable", "deadline-exceeded"]);

export class Registry implements Disposable {
  readonly #deadlines: HttpDeadlines;
  readonly #backoffMs: number;
  #settings: RegistrySettings;
  #client: EndpointClient;
  readonly #modules: RetryModules;
  /** Mirrors that did not answer, by host, and until when they are not asked; on the monotonic clock. */
  readonly #awayUntilMs = new Map<string, number>();

  constructor(options: RegistryOptions, modules: RetryModules) {
    const { deadlines = deadlinesDefault, backoffMs = backoffMsDefault } = options;
    this.#deadlines = deadlines;
    this.#backoffMs = backoffMs;
    this.#settings = settingsOf(options);
    this.#modules = modules;
    this.#client = this.#newClient();
  }

  /** Other settings from now on. What is under way breaks, and is tried again by them. */
  configure(settings: RegistrySettings): void {
    const next = settingsOf(settings);
    if (isDeepStrictEqual(next, this.#settings)) return;
    this.#settings = next;
    const former = this.#client;
    this.#client = this.#newClient();
    former[Symbol.dispose]();
    this.#awayUntilMs.clear();
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
  }

  /** The manifest under the digest, or under the tag where the reference has none. */
  manifest(reference: Reference, signal: AbortSignal, registryAuth?: string): Promise<Buffer> {
    const access = { signal, registryAuth };
    const request = manifestRequest(reference);
    const take = async (endpoint: Endpoint) => {
      const response = await this.#getFrom(endpoint, reference, request, access);
      const bytes = await readAll(response.body, manifestBytesMax, "its manifest");
      const promised = reference.digest ?? promisedDigest(response);
      if (promised !== undefined) verifyManifest(bytes, promised);
      // A mirror's page for people is no manifest, and no reason to give up.
      if (endpoint.isMirror) parseManifest(bytes);
      return bytes;
    };
    return this.#retry(signal, () => this.#ofFirst(reference, access, take));
  }

  /** The digest that the tag stands for now; of a reference that has one, that. */
  async resolve(reference: Reference, access: Access): Promise<string> {
    if (reference.digest !== undefined) return reference.digest;
    const digest = await this.#retry(access.signal, () => this.#headDigest(reference, access));
    if (digest !== undefined) return digest;
    return digestOf(await this.manifest(reference, access.signal, access.registryAuth));
  }

  /** The blob's bytes, unverified. A broken connection is taken up where it broke. */
  blob(
    reference: Reference,
    blob: Descriptor,
    signal: AbortSignal,
    registryAuth?: string,
  ): Promise<AsyncIterable<Buffer>> {
    return this.blobFrom(reference, blob, { startBytes: 0, signal, registryAuth });
  }

  /** As `blob`, without its first bytes. */
  async blobFrom(
    reference: Reference,
    blob: Descriptor,
    { startBytes, ...access }: Access & { readonly startBytes: number },
  ): Promise<AsyncIterable<Buffer>> {
    const { signal } = access;
    const from = (offset: number) =>
      this.#get(reference, blobRequest(reference, blob, offset), access);
    const backoffMs = this.#backoffMs;
    const first = await this.#retry(signal, () => from(startBytes));
    const options = { startBytes, attempts: attemptsMax, backoffMs, signal };
    return blobStream(first, from, options, this.#modules);
  }

  /** A small blob, whole and not verified. */
  async smallBlob(
    reference: Reference,
    blob: Descriptor,
    options: Access & { readonly bytesMax: number },
  ): Promise<Buffer> {
    const { signal, registryAuth, bytesMax } = options;
    const body = await this.blob(reference, blob, signal, registryAuth);
    return await readAll(body, bytesMax, `its blob ${blob.digest}`);
  }

  /** Whether the registry (HOST[:PORT]) takes the login; a Fault where it does not. */
  async checkLogin(registry: string, access: Access): Promise<void> {
    await this.#retry(access.signal, async () => {
      const endpoint = ownEndpoint(registry);
      const request = { path: "", repository: "", headers: {} };
      const response = await this.#client.send(endpoint, request, access);
      if (response.status !== 200) throw await this.#refusal(response, registry);
      await discard(response);
    });
  }

  /** Makes the attempt again when the registry was not available. */
  #retry<T>(signal: AbortSignal, attempt: () => Promise<T>): Promise<T> {
    const backoffMs = this.#backoffMs;
    return retried({ attempts: attemptsMax, backoffMs, signal }, this.#modules, attempt);
  }

  /** Of the headers alone, which registries that count pulls do not count; undefined where they do not tell it. */
  async #headDigest(reference: Reference, access: Access): Promise<string | undefined> {
    const request = { ...manifestRequest(reference), method: "HEAD" } as const;
    try {
      return promisedDigest(await this.#get(reference, request, access));
    } catch (error) {
      // Some know no HEAD; whatever else it is, the whole manifest will tell.
      if (Fault.from(error).code === "failed-precondition") return undefined;
      throw error;
    }
  }

  /** A good answer, of the first endpoint that gives one. */
  #get(reference: Reference, request: EndpointRequest, access: Access): Promise<HttpResponse> {
    return this.#ofFirst(reference, access, (endpoint) =>
      this.#getFrom(endpoint, reference, request, access),
    );
  }

  /** What the first endpoint has of which it can be taken. */
  async #ofFirst<T>(
    reference: Reference,
    access: Access,
    take: (endpoint: Endpoint) => Promise<T>,
  ): Promise<T> {
    const { clock } = this.#modules;
    for (const endpoint of endpointsOf(reference.registry, this.#settings)) {
      const { host, isMirror } = endpoint;
      if (isMirror && clock.monotonic() < (this.#awayUntilMs.get(host) ?? 0)) continue;
      try {
        return await take(endpoint);
      } catch (error) {
        if (!isMirror || access.signal.aborted) throw error;
        const isAway = awayCodes.has(Fault.from(error).code);
        if (isAway) this.#awayUntilMs.set(host, clock.monotonic() + mirrorAwayMs);
      }
    }
    throw new Fault("internal", "a registry has no endpoint");
  }

  async #getFrom(
    endpoint: Endpoint,
    reference: Reference,
    request: EndpointRequest,
    access: Access,
  ): Promise<HttpResponse> {
    const response = await this.#client.send(endpoint, request, access);
    const { status } = response;
    if (status === 200 || (status === 206 && request.headers["range"] !== undefined)) {
      return response;
    }
    // Nothing is left of the blob: the caller has all of it.
    if (status === 416 && request.headers["range"] !== undefined) return response;
    if (status !== 404) throw await this.#refusal(response, endpoint.registry);
    await discard(response);
    if (request.path.includes("/blobs/")) {
      const digest = request.path.split("/").at(-1);
      throw new Fault("not-found", `the registry does not have its blob ${digest}`);
    }
    throw await this.#absent(endpoint, reference, access);
  }

  /** Which of the two is missing, image or tag: registries answer alike, so the list of tags is asked for. */
  async #absent(endpoint: Endpoint, reference: Reference, access: Access): Promise<Fault> {
    const { repository, tag, digest } = reference;
    const path = `${repository}/tags/list?n=1`;
    const tags = await this.#client.send(endpoint, { path, repository, headers: {} }, access);
    await discard(tags);
    const whose = `the registry "${endpoint.registry}" has no`;
    if (tags.status === 404) return new Fault("not-found", `${whose} image "${repository}"`);
    const wanted = digest === undefined ? `tag "${tag}"` : `manifest ${digest}`;
    return new Fault("not-found", `${whose} ${wanted} of image "${repository}"`);
  }

  async #refusal(response: HttpResponse, registry: string): Promise<Fault> {
    const said = await readError(response);
    const { status, headers } = response;
    if (status === 403) {
      return new Fault("permission-denied", `the registry "${registry}" forbids it${said}`);
    }
    const says = `the registry "${registry}" answered with status ${status}${said}`;
    if (status !== 429 && status < 500) return new Fault("failed-precondition", says);
    return passingFault(says, retryAfterMs(headers, this.#modules.clock.now()));
  }

  #newClient(): EndpointClient {
    return new EndpointClient(this.#settings, this.#deadlines, this.#modules);
  }
}

/** Without what else stands beside them. */
function settingsOf({ proxy, ...options }: RegistrySettings): RegistrySettings {
  const { insecureRegistries, mirrors = [], credentialsFile, certificateFolders = [] } = options;
  return {
    insecureRegistries,
    mirrors,
    certificateFolders,
    ...(credentialsFile !== undefined && { credentialsFile }),
    ...(proxy !== undefined && { proxy }),
  };
}

function manifestRequest({ repository, digest, tag = "latest" }: Reference): EndpointRequest {
  const path = `${repository}/manifests/${digest ?? tag}`;
  return { path, repository, headers: { accept: manifestAccept } };
}

function blobRequest(
  { repository }: Reference,
  { digest }: Descriptor,
  offset: number,
): EndpointRequest {
  const range = offset === 0 ? {} : { range: `bytes=${offset}-` };
  return {
    path: `${repository}/blobs/${digest}`,
    repository,
    headers: { accept: "*/*", ...range },
  };
}

/**
 * What the registry says the tag stands for (distribution-spec, "Pulling manifests"). Where its storage is damaged, that
 * is all that tells. Digests of other kinds than ours are nothing to compare with.
 */
function promisedDigest({ headers }: HttpResponse): string | undefined {
  const digest = headers["docker-content-digest"];
  return typeof digest === "string" && isDigest(digest) ? digest : undefined;
}

function verifyManifest(bytes: Buffer, digest: string): void {
  const actual = digestOf(bytes);
  if (actual === digest) return;
  throw new Fault("data-loss", `the manifest ${digest} arrived with the digest ${actual}`);
}
