/**
 * Calls in which both sides send as they like, each no faster than the other one reads. Either side may be done with
 * sending long before the other is; the call is over when the server is, or when the client stops reading.
 */
import type { Message } from "@bufbuild/protobuf";
import type { ClientDuplexStream } from "@grpc/grpc-js";
import { Fault } from "./fault.ts";
import { faultFromGrpc } from "./grpc-fault.ts";
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
