/**
 * Names as they travel: labels behind their lengths, up to an empty one (RFC 1035 section 3.1). Inside the server a name is this
 * form in lower case, one character per byte: lengths are below the letters, so that lower case leaves them alone.
 */
import { formatAddress6 } from "#proto/ipv6.ts";

const labelBytesMax = 63;
const nameBytesMax = 255;

/** Where the name that begins at `offset` ends; undefined: it is cut short, too long, or leads elsewhere (compression). */
export function nameEnd(bytes: Buffer, offset: number): number | undefined {
  let at = offset;
  for (;;) {
    const length = bytes[at];
    if (length === undefined || length > labelBytesMax) return undefined;
    at += 1 + length;
    if (at > bytes.length || at - offset > nameBytesMax) return undefined;
    if (length === 0) return at;
  }
}

/** Likewise for a name that may end in a pointer; only a pointer back is one, so that following them ends. */
export function compressedNameEnd(bytes: Buffer, offset: number): number | undefined {
  let at = offset;
  for (;;) {
    const length = bytes[at];
    if (length === undefined) return undefined;
    if (length >= 0xc0) {
      const low = bytes[at + 1];
      const target = ((length & 0x3f) << 8) | (low ?? 0);
      return low === undefined || target >= offset ? undefined : at + 2;
    }
    if (length > labelBytesMax || at + 1 + length - offset > nameBytesMax) return undefined;
    at += 1 + length;
    if (length === 0) return at > bytes.length ? undefined : at;
  }
}

/** For people and for look-ups. A dot inside a label is marked, so that it is no dot between labels. */
export function textOfName(wire: string): string {
  const labels: string[] = [];
  for (let at = 0; ; ) {
    const length = wire.charCodeAt(at);
    if (!(length > 0)) return labels.join(".");
    labels.push(wire.slice(at + 1, at + 1 + length).replaceAll(".", "\\."));
    at += 1 + length;
  }
}

/** Undefined: what no message can carry. */
export function encodeName(text: string): Buffer | undefined {
  const labels = text.split(".");
  if (labels.some((label) => label === "" || label.length > labelBytesMax)) return undefined;
  const wire = labels.map((label) => `${String.fromCharCode(label.length)}${label}`).join("");
  return wire.length >= nameBytesMax ? undefined : Buffer.from(`${wire}\0`, "latin1");
}

/** The address that a reverse name asks for: "1.0.0.10.in-addr.arpa" or 32 digits below "ip6.arpa". */
export function addressOfReverseName(text: string): string | undefined {
  const four = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa$/.exec(text);
  if (four !== null) {
    const bytes = four.slice(1).reverse().map(Number);
    return bytes.every((byte) => byte <= 255) ? bytes.join(".") : undefined;
  }
  const six = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(text);
  if (six?.[1] === undefined) return undefined;
  const digits = six[1].split(".").reverse().join("");
  return formatAddress6(BigInt(`0x${digits}`));
}
