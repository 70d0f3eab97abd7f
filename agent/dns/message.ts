/**
 * DNS messages (RFC 1035, EDNS of RFC 6891), as bytes from strangers: parsing never throws, and whatever arrives becomes
 * a query, an error that can be sent back, or silence. Knows nothing of names or networks.
 */
import {
  type Answer,
  AUTHORITATIVE_ANSWER,
  decode,
  encode,
  encodingLength,
  type OptAnswer,
  type Packet,
  RECURSION_AVAILABLE,
  RECURSION_DESIRED,
  TRUNCATED_RESPONSE,
} from "dns-packet";

/** The codes of RFC 1035 section 4.1.1 that we send. */
export const responseCode = {
  noError: 0,
  formatError: 1,
  serverFailure: 2,
  noSuchName: 3,
  notImplemented: 4,
  refused: 5,
} as const;

export type ResponseCode = (typeof responseCode)[keyof typeof responseCode];

export interface Query {
  readonly kind: "query";
  readonly id: number;
  /** As asked: the answer repeats its capitals. */
  readonly name: string;
  readonly type: string;
  readonly recursionDesired: boolean;
  readonly edns: boolean;
  /** What the asker can take in one datagram. */
  readonly datagramBytesMax: number;
}

export type Received =
  | Query
  | { readonly kind: "error"; readonly reply: Buffer }
  /** Too short for a header, or an answer: to reply could start a loop. */
  | { readonly kind: "ignored" };

export interface Reply {
  readonly code: ResponseCode;
  readonly records: readonly Answer[];
}

const headerBytes = 12;

/** RFC 1035 without EDNS; with it no more than passes every path in one piece. */
const datagramBytesDefault = 512;
export const datagramBytesMax = 1232;
export const streamBytesMax = 65_535;

const responseFlag = 0x8000;
const opcodeMask = 0x7800;

export function parseMessage(bytes: Buffer): Received {
  if (bytes.length < headerBytes) return { kind: "ignored" };
  const flags = bytes.readUInt16BE(2);
  if ((flags & responseFlag) !== 0) return { kind: "ignored" };
  if ((flags & opcodeMask) !== 0) return failure(bytes, responseCode.notImplemented);
  const packet = tryDecode(bytes);
  const question = packet?.questions?.[0];
  if (packet === undefined || question === undefined || packet.questions?.length !== 1) {
    return failure(bytes, responseCode.formatError);
  }
  if (question.class !== "IN") return failure(bytes, responseCode.refused);
  // What does not survive the library (a dot or broken UTF-8 inside a label) could not be repeated in the answer.
  const repeated = tryEncode({ questions: [question] })?.subarray(headerBytes);
  if (
    repeated === undefined ||
    !bytes.subarray(headerBytes).subarray(0, repeated.length).equals(repeated)
  ) {
    return failure(bytes, responseCode.formatError);
  }
  const options = packet.additionals?.find((record): record is OptAnswer => record.type === "OPT");
  return {
    kind: "query",
    id: bytes.readUInt16BE(0),
    name: question.name,
    type: question.type,
    recursionDesired: (flags & RECURSION_DESIRED) !== 0,
    edns: options !== undefined,
    datagramBytesMax: Math.min(
      Math.max(options?.udpPayloadSize ?? datagramBytesDefault, datagramBytesDefault),
      datagramBytesMax,
    ),
  };
}

/** As many of the records as fit; when some do not, the asker is told to come again over TCP. */
export function encodeReply(query: Query, { code, records }: Reply, bytesMax: number): Buffer {
  const packet = replyPacket(query, code);
  let room = bytesMax - encodingLength(packet);
  const fitting: Answer[] = [];
  for (const record of records) {
    room -= encodingLength({ answers: [record] }) - headerBytes;
    if (room < 0) break;
    fitting.push(record);
  }
  const truncated = fitting.length < records.length ? TRUNCATED_RESPONSE : 0;
  return encode({ ...packet, flags: (packet.flags ?? 0) | truncated, answers: fitting });
}

function replyPacket(query: Query, code: ResponseCode): Packet {
  const authoritative =
    code === responseCode.noError || code === responseCode.noSuchName ? AUTHORITATIVE_ANSWER : 0;
  const desired = query.recursionDesired ? RECURSION_DESIRED : 0;
  return {
    type: "response",
    id: query.id,
    // The library has the code in the low bits of the flags.
    flags: authoritative | desired | RECURSION_AVAILABLE | code,
    questions: [{ name: query.name, type: query.type as Answer["type"], class: "IN" }],
    additionals: query.edns ? [ownOptions] : [],
  };
}

const ownOptions: OptAnswer = {
  type: "OPT",
  name: ".",
  udpPayloadSize: datagramBytesMax,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
};

/** The header alone: a question that cannot be understood cannot be repeated. */
function failure(bytes: Buffer, code: ResponseCode): Received {
  const reply = Buffer.alloc(headerBytes);
  reply.writeUInt16BE(bytes.readUInt16BE(0), 0);
  const kept = bytes.readUInt16BE(2) & (opcodeMask | RECURSION_DESIRED);
  reply.writeUInt16BE(responseFlag | kept | RECURSION_AVAILABLE | code, 2);
  return { kind: "error", reply };
}

function tryDecode(bytes: Buffer): Packet | undefined {
  try {
    return decode(bytes);
  } catch {
    return undefined;
  }
}

function tryEncode(packet: Packet): Buffer | undefined {
  try {
    return encode(packet);
  } catch {
    return undefined;
  }
}
