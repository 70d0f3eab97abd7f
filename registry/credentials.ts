/**
 * A login at a registry, and the forms that others keep it in: `user:password` in base64 (config.json), and the JSON of
 * Docker's X-Registry-Auth header, which a service's spec carries. No error here repeats what it read. Pure.
 */
import { Fault } from "#proto/fault.ts";
import { type JsonObject, parseJson, parseObject } from "./foreign-json.ts";

export type Credentials =
  | { readonly kind: "password"; readonly username: string; readonly password: string }
  /** An OAuth2 refresh token, of which the token server makes access tokens. */
  | { readonly kind: "identity-token"; readonly token: string }
  /** A bearer token as it is. */
  | { readonly kind: "registry-token"; readonly token: string };

/** Undefined: it is there and says nothing, as Docker's clients write it for an anonymous pull. */
export function parseRegistryAuth(text: string): Credentials | undefined {
  try {
    // Docker writes base64url, others base64; Node reads both.
    return readCredentials(parseObject(parseJson(Buffer.from(text, "base64")), "it"));
  } catch {
    throw new Fault(
      "invalid-argument",
      "the registry login that came with the service cannot be read: it must be JSON as base64, as in Docker's X-Registry-Auth",
    );
  }
}

export function formatRegistryAuth(credentials: Credentials, registry: string): string {
  const json = JSON.stringify({ ...formatCredentials(credentials), serveraddress: registry });
  return Buffer.from(json).toString("base64url");
}

/** `username` and `password`, or both as `auth`, or a token; undefined where there is none of them. */
export function readCredentials(entry: JsonObject): Credentials | undefined {
  const text = (name: string) => {
    const value = entry[name];
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  const registryToken = text("registrytoken");
  if (registryToken !== undefined) return { kind: "registry-token", token: registryToken };
  const identityToken = text("identitytoken");
  if (identityToken !== undefined) return { kind: "identity-token", token: identityToken };
  const username = text("username");
  if (username !== undefined) {
    return { kind: "password", username, password: text("password") ?? "" };
  }
  return parsePair(text("auth"));
}

export function formatCredentials(credentials: Credentials): Readonly<Record<string, string>> {
  switch (credentials.kind) {
    case "password":
      return { username: credentials.username, password: credentials.password };
    case "identity-token":
      return { identitytoken: credentials.token };
    case "registry-token":
      return { registrytoken: credentials.token };
  }
}

export function basicAuth({ username, password }: Credentials & { readonly kind: "password" }) {
  return Buffer.from(`${username}:${password}`).toString("base64");
}

function parsePair(auth: string | undefined): Credentials | undefined {
  if (auth === undefined) return undefined;
  const text = Buffer.from(auth, "base64").toString("utf8");
  const colon = text.indexOf(":");
  if (colon <= 0) throw new Fault("failed-precondition", "auth is not user:password in base64");
  // Old versions of Docker filled it up with zeros.
  const password = text.slice(colon + 1).replace(/\0+$/, "");
  return { kind: "password", username: text.slice(0, colon), password };
}
