/**
 * Lines as Docker's "json-file" has them, byte for byte: other escapes than JSON.stringify's, bytes that are no UTF-8 each
 * as \ufffd, times without zeros at their end, and a long line as several objects, of which the last has its "\n". Pure.
 */
import { LogStream } from "#proto/gen/swarm/v1/control_pb.ts";
import { piecesOf } from "./docker-pieces.ts";
import type { LogLine } from "./k8s-file.ts";

/** `attributes`: what `attributesText` made of them. */
export function jsonLines(line: LogLine, attributes: string): Buffer {
  const { data, stream, timestampNs, partial } = line;
  const head = `","stream":"${stream === LogStream.STDERR ? "stderr" : "stdout"}"`;
  const tail = `${head}${attributes},"time":"${rfc3339(timestampNs)}"}\n`;
  const pieces = piecesOf(data);
  return Buffer.concat(
    pieces.flatMap((piece, index) => {
      const end = partial || index < pieces.length - 1 ? "" : "\\n";
      return [Buffer.from('{"log":"'), escaped(piece), Buffer.from(end + tail)];
    }),
  );
}

/** The object's field; nothing where there are none. Sorted, as Go writes maps. */
export function attributesText(attributes: Readonly<Record<string, string>>): string {
  const entries = Object.entries(attributes).toSorted(([a], [b]) => (a < b ? -1 : 1));
  if (entries.length === 0) return "";
  const text = JSON.stringify(Object.fromEntries(entries));
  return `,"attrs":${text.replaceAll(/[<>&\u2028\u2029]/g, unicodeEscape)}`;
}

/**
 * In latin1, where a character is a byte: the characters of UTF-8 beyond ASCII, and else what does not stand for itself.
 */
const special =
  /[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2}|[^ !#-%'-;=?-[\]-\x7f]/g;

const escapes: Readonly<Record<string, string>> = {
  "\n": "\\n",
  "\r": "\\r",
  '"': '\\"',
  "\\": "\\\\",
  // Line separators of Unicode, which JavaScript once could not read.
  "\xe2\x80\xa8": "\\u2028",
  "\xe2\x80\xa9": "\\u2029",
};

function escaped(data: Buffer): Buffer {
  const text = data.toString("latin1").replaceAll(special, (found) => {
    const known = escapes[found];
    if (known !== undefined || found.length > 1) return known ?? found;
    return found < "\x80" ? unicodeEscape(found) : "\\ufffd";
  });
  return Buffer.from(text, "latin1");
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
