/**
 * Client of the OCI distribution protocol, as far as pulling needs it. Manifests come whole and verified; blobs come as
 * streams that the caller verifies while storing them. Requests that failed in passing are made again a few times.
 */
import { Fault } from "#proto/fault.ts";
import type { Clock, Random } from "#proto/ports.ts";
import { digestOf, isDigest } from "./digest.ts";
import { parseList, parseJson, parseObject, parseText } from "./foreign-json.ts";
import { HttpClient, type HttpDeadlines, type HttpResponse } from "./http-client.ts";
import { type Descriptor, manifestAccept, manifestBytesMax } from "./manifest.ts";
import type { Reference } from "./reference.ts";

export interface RegistryOptions {
  /** HOST:PORT of registries that are spoken to over plain HTTP. */
  readonly insecureRegistries: readonly string[];
  readonly deadlines?: HttpDeadlines;
  readonly backoffMs?: number;
}

export interface RegistryModules {
  readonly clock: Clock;
  readonly random: Random;
}

const deadlinesDefault: HttpDeadlines = { headersMs: 10_000, stallMs: 15_000 };
const attemptsMax = 3;

/** Before the second attempt; twice as much before each further one. */
const backoffMsDefault = 300;

/** What is read of an answer that reports an error. */
const errorBytesMax = 64 * 1024;

/** The registry behind the name "docker.io". */
const officialHost = "registry-1.docker.io";

/** Docker's own rule: what is on this machine needs no TLS. */
const loopbackPattern = /^(?:localhost|127\.[0-9.]+|\[::1\])(?::[0-9]+)?$/;

export class Registry implements Disposable {
  readonly #insecure: ReadonlySet<string>;
  readonly #http: HttpClient;
  readonly #backoffMs: number;
  readonly #modules: RegistryModules;

  constructor(options: RegistryOptions, modules: RegistryModules) {
    this.#insecure = new Set(options.insecureRegistries);
    this.#http = new HttpClient(options.deadlines ?? deadlinesDefault, modules);
    this.#backoffMs = options.backoffMs ?? backoffMsDefault;
    this.#modules = modules;
  }

  [Symbol.dispose](): void {
    this.#http[Symbol.dispose]();
  }

  /** The manifest under the digest, or under the tag where the reference has none. */
  manifest(reference: Reference, signal: AbortSignal): Promise<Buffer> {
    const wanted = reference.digest ?? reference.tag ?? "latest";
    return this.retry(signal, async () => {
      const response = await this.#get(reference, `manifests/${wanted}`, signal);
      if (response.status === 404) throw await this.#absent(reference, response, signal);
      await expectOk(response, reference);
      const bytes = await readAll(response.body, manifestBytesMax, "its manifest");
      const promised = reference.digest ?? promisedDigest(response);
      if (promised !== undefined) verifyManifest(bytes, promised);
      return bytes;
    });
  }

  /** The blob's bytes, unverified. Not retried: only the caller can start over with what it did to them. */
  async blob(
    reference: Reference,
    blob: Descriptor,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Buffer>> {
    const response = await this.#get(reference, `blobs/${blob.digest}`, signal);
    if (response.status === 404) {
      await discard(response);
      throw new Fault("not-found", `the registry does not have its blob ${blob.digest}`);
    }
    await expectOk(response, reference);
    return response.body;
  }

  /** A small blob, whole and not verified. */
  smallBlob(
    reference: Reference,
    blob: Descriptor,
    options: { signal: AbortSignal; bytesMax: number },
  ): Promise<Buffer> {
    return this.retry(options.signal, async () => {
      const body = await this.blob(reference, blob, options.signal);
      return await readAll(body, options.bytesMax, `its blob ${blob.digest}`);
    });
  }

  /**
   * Makes the attempt again when the registry was not available. A deadline that passed is not tried again: whoever
   * waits has waited long enough.
   */
  async retry<T>(signal: AbortSignal, attempt: () => Promise<T>): Promise<T> {
    const { clock, random } = this.#modules;
    for (let attempts = 1; ; attempts += 1) {
      try {
        return await attempt();
      } catch (error) {
        const fault = Fault.from(error);
        if (fault.code !== "unavailable" || attempts === attemptsMax) throw fault;
      }
      // Many hosts lose a registry at the same moment; they should not all come back at the same moment.
      const delayMs = this.#backoffMs * 2 ** (attempts - 1);
      await clock.sleep(delayMs + random.int(Math.ceil(delayMs / 2) + 1), signal);
    }
  }

  #get(reference: Reference, path: string, signal: AbortSignal): Promise<HttpResponse> {
    const host = reference.registry === "docker.io" ? officialHost : reference.registry;
    const plain =
      this.#insecure.has(reference.registry) || loopbackPattern.test(reference.registry);
    const url = new URL(`${plain ? "http" : "https"}://${host}/v2/${reference.repository}/${path}`);
    const accept = path.startsWith("manifests/") ? manifestAccept : "*/*";
    return this.#http.get({ url, signal, headers: { accept, "user-agent": "swarmd" } });
  }

  /** Which of the two is missing, image or tag: registries answer alike, so the list of tags is asked for. */
  async #absent(reference: Reference, response: HttpResponse, signal: AbortSignal): Promise<Fault> {
    await discard(response);
    const { repository, tag, digest, registry } = reference;
    const tags = await this.#get(reference, "tags/list?n=1", signal);
    await discard(tags);
    if (tags.status === 404) {
      return new Fault("not-found", `the registry "${registry}" has no image "${repository}"`);
    }
    const wanted = digest === undefined ? `tag "${tag}"` : `manifest ${digest}`;
    return new Fault(
      "not-found",
      `the registry "${registry}" has no ${wanted} of image "${repository}"`,
    );
  }
}

async function expectOk(response: HttpResponse, { registry }: Reference): Promise<void> {
  if (response.status === 200) return;
  const said = await readError(response);
  if (response.status === 401 || response.status === 403) {
    throw new Fault(
      "unauthenticated",
      `the registry "${registry}" asks for credentials, and this host has none for it`,
    );
  }
  const passing = response.status >= 500 || response.status === 429;
  throw new Fault(
    passing ? "unavailable" : "failed-precondition",
    `the registry "${registry}" answered with status ${response.status}${said}`,
  );
}

/** What the registry said about its error (": message"), as far as it can be read. */
async function readError(response: HttpResponse): Promise<string> {
  try {
    const body = await readAll(response.body, errorBytesMax, "the error");
    const errors = parseList(
      parseObject(parseJson(body), "error")["errors"],
      "errors",
      parseObject,
    );
    const messages = errors.map((error) => parseText(error["message"], "message"));
    return messages.length === 0 ? "" : `: ${messages.join("; ")}`;
  } catch {
    // The status alone tells enough; an error page of some proxy is no message for people.
    return "";
  }
}

async function discard(response: HttpResponse): Promise<void> {
  await readError(response);
}

async function readAll(
  body: AsyncIterable<Buffer>,
  bytesMax: number,
  what: string,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of body) {
    sizeBytes += chunk.length;
    if (sizeBytes > bytesMax) {
      throw new Fault("failed-precondition", `${what} has more than ${bytesMax} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
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
