/**
 * Answers a registry's challenges: Basic with the login as it is, Bearer with a token that the token server named in the
 * challenge makes of it (distribution/spec, auth/token and auth/oauth). Keeps tokens until they expire; the caller asks
 * for a new one when a registry refuses the one that it had.
 *
 * Invariants: a password goes to the registry that it is for and to the token server that this one names, and to neither
 * in the clear unless the user has called it insecure. No error has a secret in it.
 */
import { Fault } from "#proto/fault.ts";
import type { Clock } from "#proto/ports.ts";
import { type Challenge, parseChallenges } from "./challenge.ts";
import { basicAuth, type Credentials } from "./credentials.ts";
import { type JsonObject, parseJson, parseObject } from "./foreign-json.ts";
import type { HttpClient, HttpRequest, HttpResponse } from "./http-client.ts";
import { discard, readAll } from "./read-body.ts";
import { passingFault, retryAfterMs } from "./retry.ts";

export interface Demand {
  /** Who asks, for messages. */
  readonly registry: string;
  /** Under which the answer is kept: one for each login, registry and repository. */
  readonly key: string;
  /** Where the registry does not say: "repository:library/nginx:pull". */
  readonly scope: string | undefined;
  readonly credentials: Credentials | undefined;
  readonly signal: AbortSignal;
}

export interface AuthenticatorOptions {
  readonly isInsecure: (host: string) => boolean;
}

export interface AuthenticatorModules {
  readonly http: HttpClient;
  readonly clock: Clock;
}

interface Kept {
  readonly header: string;
  /** On the monotonic clock. */
  readonly untilMs: number;
}

interface Token {
  readonly token: string;
  readonly lifeMs: number;
}

/** Docker's own: servers that name less, or nothing, mean this. */
const lifeMsMin = 60_000;
/** A token is not used for the last part of its life: requests take a while. */
const marginMs = 10_000;
const tokenBytesMax = 1024 * 1024;
const keptMax = 1000;
const clientId = "swarmd";

export class Authenticator {
  readonly #options: AuthenticatorOptions;
  readonly #modules: AuthenticatorModules;
  readonly #kept = new Map<string, Kept>();

  constructor(options: AuthenticatorOptions, modules: AuthenticatorModules) {
    this.#options = options;
    this.#modules = modules;
  }

  /** The Authorization that was good last time. */
  header(key: string): string | undefined {
    const kept = this.#kept.get(key);
    if (kept === undefined || this.#modules.clock.monotonic() < kept.untilMs) return kept?.header;
    this.#kept.delete(key);
    return undefined;
  }

  /** A new Authorization for what was refused with these headers. */
  async answer(headers: HttpResponse["headers"], demand: Demand): Promise<string> {
    const challenges = parseChallenges(headers["www-authenticate"] ?? "");
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    if (bearer !== undefined) {
      const { token, lifeMs } = await this.#token(bearer, demand);
      return this.#keep(demand.key, `Bearer ${token}`, lifeMs - marginMs);
    }
    const { credentials, registry } = demand;
    if (credentials === undefined) throw noCredentials(registry);
    if (challenges.some(({ scheme }) => scheme === "basic") && credentials.kind === "password") {
      return this.#keep(demand.key, `Basic ${basicAuth(credentials)}`, Number.POSITIVE_INFINITY);
    }
    const asked = challenges.map(({ scheme }) => scheme).join(", ") || "nothing that is known";
    throw new Fault(
      "unauthenticated",
      `the registry "${registry}" asks for a login by ${asked}, which the one at hand does not do`,
    );
  }

  #keep(key: string, header: string, lifeMs: number): string {
    if (this.#kept.size >= keptMax) this.#kept.clear();
    this.#kept.set(key, { header, untilMs: this.#modules.clock.monotonic() + lifeMs });
    return header;
  }

  async #token(challenge: Challenge, demand: Demand): Promise<Token> {
    const { credentials, registry, signal } = demand;
    if (credentials?.kind === "registry-token") {
      return { token: credentials.token, lifeMs: Number.POSITIVE_INFINITY };
    }
    const realm = this.#realm(challenge, demand);
    const response = await this.#modules.http.send({
      ...tokenRequest(realm, challenge, demand),
      signal,
    });
    if (response.status !== 200) throw await this.#refusal(response, realm, demand);
    const bytes = await readAll(response.body, tokenBytesMax, `the token of "${realm.host}"`);
    const token = parseToken(bytes);
    if (token !== undefined) return token;
    const says = `"${realm.host}", the token server of the registry "${registry}", sent no token`;
    throw new Fault("failed-precondition", says);
  }

  #realm({ parameters }: Challenge, { registry, credentials }: Demand): URL {
    const realm = URL.parse(parameters.get("realm") ?? "");
    if (realm?.protocol !== "https:" && realm?.protocol !== "http:") {
      throw new Fault(
        "failed-precondition",
        `the registry "${registry}" names no token server in its challenge`,
      );
    }
    const inTheClear = realm.protocol === "http:" && !this.#options.isInsecure(realm.host);
    if (inTheClear && credentials !== undefined) {
      throw new Fault(
        "failed-precondition",
        `the registry "${registry}" wants the login sent to "${realm.host}" over plain HTTP: if you trust the way there, make it one of the insecure registries`,
      );
    }
    return realm;
  }

  async #refusal(response: HttpResponse, realm: URL, demand: Demand): Promise<Fault> {
    await discard(response);
    const { registry, credentials } = demand;
    const { status, headers } = response;
    if (status === 401 || status === 403) {
      return credentials === undefined ? noCredentials(registry) : refused(registry, credentials);
    }
    const says = `"${realm.host}", the token server of the registry "${registry}", answered with status ${status}`;
    if (status !== 429 && status < 500) return new Fault("failed-precondition", says);
    return passingFault(says, retryAfterMs(headers, this.#modules.clock.now()));
  }
}

export function noCredentials(registry: string): Fault {
  return new Fault(
    "unauthenticated",
    `the registry "${registry}" asks for credentials, and this host has none for it: use "swarmctl login ${registry}", then --with-registry-auth`,
  );
}

export function refused(registry: string, credentials: Credentials): Fault {
  const whose = credentials.kind === "password" ? ` of "${credentials.username}"` : "";
  return new Fault("unauthenticated", `the registry "${registry}" refuses the login${whose}`);
}

function tokenRequest(
  realm: URL,
  { parameters }: Challenge,
  { credentials, scope: scopeDefault }: Demand,
): Omit<HttpRequest, "signal"> {
  const service = parameters.get("service");
  const scope = parameters.get("scope") ?? scopeDefault;
  const fields = new URLSearchParams({ client_id: clientId });
  if (service !== undefined) fields.set("service", service);
  if (credentials?.kind === "identity-token") {
    if (scope !== undefined) fields.set("scope", scope);
    fields.set("grant_type", "refresh_token");
    fields.set("refresh_token", credentials.token);
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    return { method: "POST", url: realm, headers, content: fields.toString() };
  }
  const url = new URL(realm);
  // Several scopes are several parameters, and one challenge names them with spaces between them.
  for (const one of scope?.split(" ") ?? []) if (one !== "") url.searchParams.append("scope", one);
  for (const [name, value] of fields) url.searchParams.set(name, value);
  if (credentials?.kind !== "password") return { url, headers: {} };
  url.searchParams.set("account", credentials.username);
  return { url, headers: { authorization: `Basic ${basicAuth(credentials)}` } };
}

/** The token in a token server's answer; undefined where there is none. Exported for its test: strangers send this. */
export function parseToken(bytes: Uint8Array): Token | undefined {
  const answer = readObject(bytes);
  const token = [answer["token"], answer["access_token"]].find(isToken);
  if (token === undefined) return undefined;
  const seconds = answer["expires_in"];
  const lifeMs = typeof seconds === "number" ? Math.max(lifeMsMin, seconds * 1000) : lifeMsMin;
  return { token, lifeMs };
}

/** What is no header's value would make the next request fail without a reason to be seen. */
function isToken(value: unknown): value is string {
  return typeof value === "string" && /^[\x21-\x7e]+$/.test(value);
}

function readObject(bytes: Uint8Array): JsonObject {
  try {
    return parseObject(parseJson(bytes), "the answer");
  } catch {
    // The parser's words would repeat a part of the answer.
    return {};
  }
}
