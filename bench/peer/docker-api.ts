/**
 * The HTTP API of one dockerd (Docker Engine API 1.45), over its unix socket. Only transport: JSON in, JSON out, an error
 * reply as a Fault. What comes back is believed to have the shape that the API's reference says.
 */
import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { Fault } from "#proto/fault.ts";

const apiVersion = "v1.45";

/** A call may include an image's pull. */
const callTimeoutMs = 60_000;

export interface CallOptions {
  /** Sent as JSON where it is not a text. */
  readonly query?: Readonly<Record<string, unknown>>;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

type Method = "GET" | "POST" | "DELETE";

export class DockerApi implements Disposable {
  readonly #socketPath: () => string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 4 });

  /** The path is asked for with every call: it is another one after the host booted again. */
  constructor(socketPath: () => string) {
    this.#socketPath = socketPath;
  }

  /** Resolves to the parsed reply; undefined where it is empty. */
  async call(method: Method, path: string, options: CallOptions = {}): Promise<unknown> {
    const deadline = AbortSignal.timeout(callTimeoutMs);
    const { signal } = options;
    const either = signal === undefined ? deadline : AbortSignal.any([signal, deadline]);
    const response = await this.#send(method, path, { ...options, signal: either });
    const text = await textOf(response);
    return text === "" ? undefined : JSON.parse(text);
  }

  /** Resolves when something that tells of its progress, a line of JSON at a time, is done; an "error" in one fails it. */
  async follow(method: Method, path: string, options: CallOptions = {}): Promise<void> {
    const text = await textOf(await this.#send(method, path, options));
    const lines = text.split("\n").filter((line) => line.trim() !== "");
    const said = lines.map((line) => JSON.parse(line) as { readonly error?: string });
    const failed = said.find(({ error }) => error !== undefined);
    if (failed !== undefined) {
      throw new Fault("internal", `Docker failed ${method} ${path}: ${failed.error}`);
    }
  }

  /** Events from now on, as the daemon sends them, until the signal aborts. Resolves when it has begun to. */
  async events(
    filters: Readonly<Record<string, readonly string[]>>,
    signal: AbortSignal,
  ): Promise<AsyncIterable<unknown>> {
    return await this.#send("GET", "/events", { query: { filters }, signal });
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  async #send(method: Method, path: string, options: CallOptions): Promise<IncomingMessage> {
    const body = options.body === undefined ? undefined : JSON.stringify(options.body);
    const call = request({
      socketPath: this.#socketPath(),
      agent: this.#agent,
      method,
      path: `/${apiVersion}${path}${queryOf(options.query ?? {})}`,
      headers: body === undefined ? {} : { "content-type": "application/json" },
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    // Before the reply, `once` tells of an error; after it, the reply's own end does.
    call.on("error", () => {});
    call.end(body);
    const [response] = (await once(call, "response")) as [IncomingMessage];
    const status = response.statusCode ?? 0;
    if (status < 400) return response;
    const code = status === 404 ? "not-found" : "internal";
    throw new Fault(
      code,
      `Docker answered ${method} ${path} with ${status}: ${await wordsOf(response)}`,
    );
  }
}

function queryOf(query: Readonly<Record<string, unknown>>): string {
  const fields = Object.entries(query).map(([name, value]) => {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    return `${name}=${encodeURIComponent(text)}`;
  });
  return fields.length === 0 ? "" : `?${fields.join("&")}`;
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

/** What an error reply says: `{"message": "…"}`. */
async function wordsOf(response: IncomingMessage): Promise<string> {
  const text = (await textOf(response)).trim();
  try {
    return (JSON.parse(text) as { readonly message?: string }).message ?? text;
  } catch (thrown) {
    if (thrown instanceof SyntaxError) return text || "no words";
    throw thrown;
  }
}
