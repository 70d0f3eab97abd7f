/** Both ends of a wish that a reader's manager has at the manager that holds the node's session. */
import { create } from "@bufbuild/protobuf";
import type { LogMessage } from "#proto/gen/swarm/v1/control_pb.ts";
import {
  type PeerService,
  type RelayLogsRequest,
  type RelayLogsResponse,
  RelayLogsResponseSchema,
} from "#proto/gen/swarm/v1/manager_pb.ts";
import type { Client } from "#proto/grpc.ts";
import { LogQueue, sizeOfLines } from "./log-queue.ts";
import type { Answer, Wishes } from "./wishes.ts";

type Response = Partial<Pick<RelayLogsResponse, "answered" | "close" | "err">> & {
  readonly messages?: readonly LogMessage[];
};

/** Has the node answer a reader elsewhere. Ends without `close` when the node broke off. */
export async function* serveRelay(
  { nodeId, subscription }: RelayLogsRequest,
  wishes: Wishes,
  signal: AbortSignal,
): AsyncIterable<RelayLogsResponse> {
  if (subscription === undefined) return;
  using queue = new LogQueue<RelayLogsResponse>();
  using _wish = wishes.open(nodeId, subscription, {
    onAnswer: () => queue.put(responseOf({ answered: true })),
    onNoAnswer: () => queue.put(responseOf({})),
    onMessages: async (messages) => {
      await queue.add([responseOf({ answered: true, messages })], sizeOfLines(messages));
    },
    onClose: (err) => {
      queue.put(responseOf({ answered: true, close: true, err }));
      queue.end();
    },
    onBroken: () => queue.end(),
  });
  for await (const responses of queue.read(signal)) yield* responses;
}

/** Asks another manager. `connect` may throw where it cannot be reached. */
export function askRelay(
  connect: () => Client<typeof PeerService>,
  request: Pick<RelayLogsRequest, "nodeId" | "subscription">,
  answer: Answer,
): Disposable {
  const controller = new AbortController();
  const { signal } = controller;
  const receive = async () => {
    // A turn later, so that what this leads to comes after the asking.
    await Promise.resolve();
    for await (const response of connect().relayLogs(request, { signal })) {
      if (response.answered) answer.onAnswer();
      else answer.onNoAnswer();
      if (response.messages.length > 0) await answer.onMessages(response.messages);
      if (response.close) return answer.onClose(response.err);
    }
    answer.onBroken();
  };
  receive().catch(() => answer.onBroken());
  return { [Symbol.dispose]: () => controller.abort() };
}

function responseOf({ messages = [], ...rest }: Response): RelayLogsResponse {
  return create(RelayLogsResponseSchema, { ...rest, messages: [...messages] });
}
