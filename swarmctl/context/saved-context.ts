/**
 * How a cluster is reached from elsewhere: its managers' addresses and a person's certificate with its key. One JSON
 * object, the same in the folder of contexts and in an exported file. Whoever has it is that person to the cluster.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { Fault } from "#proto/fault.ts";
import { identityOf, splitCertificates, validityOf } from "#proto/tls/certificate.ts";

export interface SavedContext {
  readonly clusterId: string;
  /** HOST:PORT, tried in this order. */
  readonly managers: readonly string[];
  /** PEM, like the two below. */
  readonly caCertificates: string;
  readonly certificate: string;
  readonly key: string;
}

const version = 1;
const fields = ["version", "clusterId", "managers", "caCertificates", "certificate", "key"];

export function formatContext(context: SavedContext): string {
  // The list names the fields and their order.
  return `${JSON.stringify({ version, ...context }, fields, 2)}\n`;
}

/** Checks the form alone, which is all that a context of our own folder needs. */
export function parseContext(text: string): SavedContext {
  const value = parseJson(text);
  if (value["version"] !== version) {
    throw malformed(`its version is not ${version}: use the swarmctl that wrote it`);
  }
  const unknown = Object.keys(value).find((key) => !fields.includes(key));
  if (unknown !== undefined) throw malformed(`"${unknown}" is not known`);
  const { managers } = value;
  if (!Array.isArray(managers) || managers.length === 0 || !managers.every(isAddress)) {
    throw malformed('"managers" is not a list of HOST:PORT');
  }
  return {
    clusterId: textField(value, "clusterId"),
    managers,
    caCertificates: textField(value, "caCertificates"),
    certificate: textField(value, "certificate"),
    key: textField(value, "key"),
  };
}

/** What comes from elsewhere must hold together before it is kept. */
export function checkContext(context: SavedContext, nowMs: number): void {
  const certificate = parsePem("certificate", () => new X509Certificate(context.certificate));
  const key = parsePem("key", () => createPrivateKey(context.key));
  if (splitCertificates(context.caCertificates).length === 0) {
    throw malformed('"caCertificates" holds no certificate in PEM form');
  }
  if (!certificate.checkPrivateKey(key)) throw malformed("its key is not that of its certificate");
  const identity = identityOf(certificate);
  if (identity?.kind !== "user") throw malformed("its certificate is not a user's");
  if (identity.clusterId !== context.clusterId) {
    throw malformed("its certificate is of another cluster than it says");
  }
  const { notAfterMs } = validityOf(certificate);
  if (notAfterMs > nowMs) return;
  const since = new Date(notAfterMs).toISOString();
  const advice = "create the context anew on a manager";
  throw new Fault("failed-precondition", `its certificate expired at ${since}: ${advice}`);
}

/** HOST or HOST:PORT, as users write it, with the port filled in. */
export function parseAddress(text: string): string {
  const address = /:\d+$/.test(text) && !/^[^[]*:.*:/.test(text) ? text : `${text}:2377`;
  if (isAddress(address)) return address;
  throw new Fault("invalid-argument", `"${text}" is not of the form HOST[:PORT]`);
}

function isAddress(value: unknown): value is string {
  if (typeof value !== "string") return false;
  const [, port] = /^(?:[^\s:/[\]]+|\[[0-9a-fA-F:.]+\]):([0-9]{1,5})$/.exec(value) ?? [];
  return port !== undefined && Number(port) >= 1 && Number(port) <= 65_535;
}

function parseJson(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return value as Record<string, unknown>;
    }
  } catch {
    // Said below. What JSON's own words would show may be a part of the key.
  }
  throw malformed("it is not a JSON object");
}

function textField(value: Readonly<Record<string, unknown>>, name: string): string {
  const text = value[name];
  if (typeof text === "string" && text !== "") return text;
  throw malformed(`"${name}" is missing or not a text`);
}

function parsePem<T>(name: string, parse: () => T): T {
  try {
    return parse();
  } catch {
    throw malformed(`"${name}" cannot be read: it is not in PEM form`);
  }
}

function malformed(problem: string): Fault {
  return new Fault("invalid-argument", `it is not a context of swarmctl: ${problem}`);
}
