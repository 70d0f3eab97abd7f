/**
 * Calls in which both sides send as they like, each no faster than the other one reads. Either side may be done with
 * sending long before the other is; the call is over when the server is, or when the client stops reading.
 */
import { create, type DescMethod, type Message } from "@bufbuild/protobuf";
import { type ClientDuplexStream, type handleBidiStreamingCall, Metadata } from "@grpc/grpc-js";
import type { AnyServerCall, CallContext } from "./call-context.ts";
import { errnoOf, Fault } from "./fault.ts";
import { faultFromGrpc, grpcError } from "./grpc-fault.ts";
import { onAbort, pour } from "./pour.ts";

export interface BidiCall {
  readonly open: () => ClientDuplexStream<Message, Message>;
  /** A whole message of what the caller gave. */
  readonly request: (init: Message) => Message;
  readonly requests: AsyncIterable<Message>;
  readonly signal: AbortSignal | undefined;
}

/** A client's side: begins when it is read. A source of requests that fails ends the call with its Fault. */
export async function* bidiStream({ open, request, requests, signal }: BidiCall) {
  const call = open();
  const over = new AbortController();
  const release = onAbort(signal, () => call.cancel());
  let failed: Fault | undefined;
  const send = async () => {
    await pour(requests, {
      write: (init) => call.write(request(init)),
      stream: call,
      over: over.signal,
    });
    if (!over.signal.aborted) call.end();
  };
  // An answer may come and end the call while requests wait for room.
  call.on("error", () => over.abort());
  call.once("end", () => over.abort());
  send().catch((thrown: unknown) => {
    failed = Fault.from(thrown);
    call.cancel();
  });
  try {
    for await (const message of call as AsyncIterable<Message>) yield message;
  } catch (thrown) {
    throw failed ?? faultFromGrpc(thrown);
  } finally {
    release();
    over.abort();
    call.cancel();
  }
}

type AnyBidi = (requests: AsyncIterable<Message>, context: CallContext) => AsyncIterable<Message>;

/** A server's side. */
export function serveBidiStream(
  method: DescMethod,
  handler: unknown,
  admit: (call: AnyServerCall) => CallContext,
): handleBidiStreamingCall<Message, Message> {
  return (call) => {
    const answer = async () => {
      const context = admit(call);
      // Until it has these, grpc-js keeps what the client sends, for another attempt: on a long call, up to 1 MiB.
      call.sendMetadata(new Metadata());
      // Who reads no more requests may still answer: the iterator must leave the stream as it is.
      const requests = whole(call.iterator({ destroyOnReturn: false }));
      await pour((handler as AnyBidi)(requests, context), {
        write: (response) => call.write(create(method.output, response)),
        stream: call,
        over: context.signal,
      });
      if (!context.signal.aborted) call.end();
    };
    answer().catch((thrown: unknown) => {
      if (!call.cancelled) call.emit("error", grpcError(thrown));
    });
  };
}

/** The requests of a client that goes away end with a Fault, not as if all were said. */
async function* whole(requests: AsyncIterable<unknown>): AsyncIterable<Message> {
  try {
    yield* requests as AsyncIterable<Message>;
  } catch (thrown) {
    if (errnoOf(thrown) !== "ERR_STREAM_PREMATURE_CLOSE") throw thrown;
    throw new Fault("canceled", "the caller went away", { cause: thrown });
  }
}
