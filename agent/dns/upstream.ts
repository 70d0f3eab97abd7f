/**
 * One question to one nameserver: from a port and under an ID of its own, so that an answer can only come from whom was asked
 * (the kernel takes datagrams of a connected socket from nobody else). What is too long for a datagram is asked for again
 * over TCP.
 */
import { createSocket } from "node:dgram";
import { connect, isIPv6 } from "node:net";
import { Fault } from "#proto/fault.ts";
import { type Answer, parseAnswer } from "./answer.ts";
import { flag, headerBytes, optBytes, type Query, responseCode, writeOptions } from "./message.ts";
import { StreamReader, streamMessage } from "./stream.ts";

export interface Upstream {
  readonly server: string;
  readonly port: number;
}

export type Question = Pick<Query, "question" | "checkingDisabled" | "edns">;

interface Exchange extends Upstream {
  readonly asked: Buffer;
  readonly question: Buffer;
  readonly signal: AbortSignal;
}

/** Rejects when no answer comes before the signal. */
export async function askUpstream(
  upstream: Upstream,
  question: Question,
  { id, signal }: { readonly id: number; readonly signal: AbortSignal },
): Promise<Answer> {
  const exchange = { ...upstream, question: question.question, signal };
  const asked = encodeQuestion(question, id, true);
  const answer = await askDatagram({ ...exchange, asked });
  if (answer.code === responseCode.formatError || answer.code === responseCode.notImplemented) {
    // Some know nothing of EDNS and say so like this.
    return await askDatagram({ ...exchange, asked: encodeQuestion(question, id, false) });
  }
  if (!answer.truncated) return answer;
  // Where TCP is closed, a part is better than nothing.
  return await askStream({ ...exchange, asked }).catch(() => answer);
}

function encodeQuestion(question: Question, id: number, withOptions: boolean): Buffer {
  const end = headerBytes + question.question.length;
  const bytes = Buffer.alloc(end + (withOptions ? optBytes : 0));
  const disabled = question.checkingDisabled ? flag.checkingDisabled : 0;
  bytes.writeUInt16BE(id, 0);
  bytes.writeUInt16BE(flag.recursionDesired | disabled, 2);
  bytes.writeUInt16BE(1, 4);
  bytes.writeUInt16BE(withOptions ? 1 : 0, 10);
  bytes.set(question.question, headerBytes);
  if (withOptions) writeOptions(bytes, end, question.edns?.dnssecOk ?? false);
  return bytes;
}

function askDatagram(exchange: Exchange): Promise<Answer> {
  const { server, port, asked, signal } = exchange;
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const socket = createSocket(isIPv6(server) ? "udp6" : "udp4");
  const abort = () => reject(late());
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  socket.on("error", reject);
  socket.on("message", (bytes) => {
    const answer = answerTo(exchange, bytes);
    if (answer !== undefined) resolve(answer);
  });
  // Also reported here: that nobody listens.
  socket.on("connect", () => socket.send(asked));
  socket.connect(port, server);
  return promise.finally(() => {
    signal.removeEventListener("abort", abort);
    socket.close();
  });
}

function askStream(exchange: Exchange): Promise<Answer> {
  const { server, port, asked, signal } = exchange;
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const socket = connect({ host: server, port, signal });
  const reader = new StreamReader();
  socket.on("error", reject);
  socket.on("close", () => reject(new Fault("unavailable", "the nameserver hung up")));
  socket.on("data", (chunk) => {
    for (const bytes of reader.push(chunk)) {
      const answer = answerTo(exchange, bytes);
      if (answer !== undefined) resolve(answer);
    }
  });
  socket.write(streamMessage(asked));
  return promise.finally(() => socket.destroy());
}

/** Same ID, same question; who sent it was the kernel's to check. */
function answerTo({ asked, question }: Exchange, bytes: Buffer): Answer | undefined {
  if (bytes.length < headerBytes || bytes.readUInt16BE(0) !== asked.readUInt16BE(0)) return;
  return parseAnswer(bytes, question) ?? bareRefusal(bytes);
}

/** Some repeat no question that they do not take. */
function bareRefusal(bytes: Buffer): Answer | undefined {
  const flags = bytes.readUInt16BE(2);
  const bare = bytes.length === headerBytes && (flags & flag.response) !== 0;
  const code = flags & flag.code;
  if (!bare || code === responseCode.noError) return undefined;
  const counts = { answerCount: 0, authorityCount: 0, records: [], addresses: [] };
  return { bytes, code, truncated: false, ...counts };
}

function late(): Fault {
  return new Fault("deadline-exceeded", "the nameserver did not answer in time");
}
