/** Reads what stands of the encrypted link. */
import type { Exec } from "#agent/exec.ts";
import { isRecord, type JsonObject, parseRecords } from "../tool-output.ts";
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

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
