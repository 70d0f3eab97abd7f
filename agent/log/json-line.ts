/**
 * Lines as Docker's "json-file" has them, byte for byte: other escapes than JSON.stringify's, bytes that are no UTF-8 each
 * as \ufffd, times without zeros at their end, and a long line as several objects, of which the last has its "\n". Pure.
 */
import { isUtf8 } from "node:buffer";
import { LogStream } from "#proto/gen/swarm/v1/control_pb.ts";
import { piecesOf } from "./docker-pieces.ts";
import type { LogLine } from "./k8s-file.ts";

/** `attributes`: what `attributesText` made of them. */
export function jsonLines(line: LogLine, attributes: string): string {
  const { data, stream, timestampNs, partial } = line;
  const head = `","stream":"${stream === LogStream.STDERR ? "stderr" : "stdout"}"`;
  const tail = `${head}${attributes},"time":"${rfc3339(timestampNs)}"}\n`;
  const pieces = piecesOf(data);
  return pieces
    .map((piece, index) => {
      const end = partial || index < pieces.length - 1 ? "" : "\\n";
      return `{"log":"${escaped(piece)}${end}${tail}`;
    })
    .join("");
}

/** The object's field; nothing where there are none. Sorted, as Go writes maps. */
export function attributesText(attributes: Readonly<Record<string, string>>): string {
  const entries = Object.entries(attributes).toSorted(([a], [b]) => (a < b ? -1 : 1));
  if (entries.length === 0) return "";
  const text = JSON.stringify(Object.fromEntries(entries));
  return `,"attrs":${text.replaceAll(/[<>&\u2028\u2029]/g, unicodeEscape)}`;
}

/** Of bytes as latin1: as many characters of UTF-8 as there are together, or else one byte of none. */
const runs =
  /((?:[^\x80-\xff]|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2})+)|[\x80-\xff]/g;

function escaped(data: Buffer): string {
  if (isUtf8(data)) return escapedText(data.toString());
  return data
    .toString("latin1")
    .replaceAll(runs, (_, run?: string) =>
      run === undefined ? "\\ufffd" : escapedText(Buffer.from(run, "latin1").toString()),
    );
}

/** What JSON.stringify leaves as it is, or has a shorter escape for; and its own of a backslash, so as to pass over both. */
const otherwise = /[<>&\u2028\u2029]|\\[\\bft]/g;

const shortEscapes: Readonly<Record<string, string>> = {
  "\\\\": "\\\\",
  "\\b": "\\u0008",
  "\\f": "\\u000c",
  "\\t": "\\u0009",
};

function escapedText(text: string): string {
  return JSON.stringify(text)
    .slice(1, -1)
    .replaceAll(otherwise, (found) => shortEscapes[found] ?? unicodeEscape(found));
}

function unicodeEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** In UTC, with as many of nine digits as are needed. */
function rfc3339(timestampNs: bigint): string {
  const [seconds = ""] = new Date(Number(timestampNs / 1_000_000n)).toISOString().split(".");
  const fraction = String(timestampNs % 1_000_000_000n).padStart(9, "0");
  return `${seconds}${`.${fraction}`.replace(/\.?0+$/, "")}Z`;
}
