/** What iproute2 and nft print as JSON, taken apart with as little trust as other foreign bytes. */
import { Fault } from "#proto/fault.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

/** iproute2 prints nothing at all where there is nothing to show, and `{}` for what a filter left out. */
export function parseRecords(json: string): readonly JsonObject[] {
  if (json.trim() === "") return [];
  const parsed = parseJson(json);
  if (!Array.isArray(parsed)) throw unexpected("a list of iproute2", parsed);
  return parsed.filter(isRecord).filter((record) => Object.keys(record).length > 0);
}

export function parseNft(json: string): readonly JsonObject[] {
  const parsed = parseJson(json);
  if (!isRecord(parsed) || !Array.isArray(parsed["nftables"]))
    throw unexpected("nft's list", parsed);
  return parsed["nftables"].filter(isRecord);
}

function parseJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    throw unexpected("JSON", json);
  }
}

export function isRecord(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function text(record: JsonObject, key: string): string {
  const value = record[key];
  return typeof value === "string" ? value : "";
}

export function number(record: JsonObject, key: string): number {
  const value = record[key];
  if (typeof value !== "number") throw unexpected(`"${key}"`, record);
  return value;
}

export function unexpected(what: string, value: unknown): Fault {
  return new Fault(
    "internal",
    `Cannot understand ${what}: ${JSON.stringify(value)?.slice(0, 200)}`,
  );
}
