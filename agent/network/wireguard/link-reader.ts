/** Reads what stands of the encrypted link. */
import type { Exec } from "#agent/exec.ts";
import { Fault } from "#proto/fault.ts";
import { encryptionDevice } from "./addresses.ts";
import {
  type EncryptionPicture,
  type Handshakes,
  type LinkPicture,
  parseDump,
  type WireGuardDump,
} from "./link-picture.ts";
import { encryptionProtocol } from "./link-plan.ts";

export async function readLink(
  exec: Exec,
): Promise<{ readonly picture: EncryptionPicture; readonly handshakes: Handshakes }> {
  const [addresses, routes] = await Promise.all([
    exec.run("ip", ["-j", "addr", "show"]),
    exec.run("ip", ["-4", "-j", "route", "show", "proto", String(encryptionProtocol)]),
  ]);
  const device = parseDevice(addresses.stdout);
  const dump = device === undefined ? undefined : await readDump(exec);
  const link = device === undefined || dump === undefined ? undefined : { ...device, ...dump };
  const remains = device !== undefined && link === undefined;
  return {
    picture: { link, remains, routes: parseRoutes(routes.stdout) },
    handshakes: dump?.handshakes ?? new Map(),
  };
}

/** Undefined: nobody answers for the link. */
async function readDump(exec: Exec): Promise<WireGuardDump | undefined> {
  let dump: string;
  try {
    dump = (await exec.run("wg", ["show", encryptionDevice, "dump"], { timeoutMs: 5_000 })).stdout;
  } catch {
    // Not its own words: it prints the private key.
    return undefined;
  }
  return parseDump(dump);
}

export function parseDevice(json: string): Pick<LinkPicture, "mtu" | "addresses"> | undefined {
  const link = parseRecords(json).find((record) => record["ifname"] === encryptionDevice);
  if (link === undefined) return undefined;
  const isUp = listOf(link["flags"]).includes("UP");
  const addresses = listOf(link["addr_info"])
    .filter(isRecord)
    .filter((address) => address["family"] === "inet")
    .map((address) => `${String(address["local"])}/${String(address["prefixlen"])}`);
  return { mtu: isUp ? Number(link["mtu"]) : 0, addresses: new Set(addresses) };
}

export function parseRoutes(json: string): ReadonlySet<string> {
  return new Set(parseRecords(json).map(routeText));
}

/** In the words in which it was asked for. */
function routeText(route: JsonObject): string {
  const destination = String(route["dst"]);
  if (route["type"] === "unreachable") {
    return `unreachable ${destination} metric ${String(route["metric"])}`;
  }
  const [device, scope, source] = ["dev", "scope", "prefsrc"].map((key) => String(route[key]));
  return `${destination} dev ${device} scope ${scope} src ${source}`;
}

type JsonObject = Readonly<Record<string, unknown>>;

/** iproute2 prints nothing at all where there is nothing to show. */
function parseRecords(json: string): readonly JsonObject[] {
  if (json.trim() === "") return [];
  const parsed: unknown = JSON.parse(json);
  if (Array.isArray(parsed)) return parsed.filter(isRecord);
  throw new Fault("internal", "Cannot understand a list of iproute2");
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function isRecord(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
