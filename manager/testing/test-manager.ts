/** A leading manager in memory with its dispatcher on a loopback port. */
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { Fault } from "#proto/fault.ts";
import { DispatcherService } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { addService } from "#proto/grpc.ts";
import type { Clock } from "#proto/ports.ts";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import type { LogSubscriptions } from "../dispatcher/assignment-stream.ts";
import { dispatcherHandlers } from "../dispatcher/dispatcher.ts";
import { type Leadership, startLeader } from "../leader.ts";
import type { View } from "../store/store.ts";
import { openTestStore, type TestStore } from "./fixtures.ts";
import { untilStore } from "./until.ts";

export interface TestManager extends TestStore, AsyncDisposable {
  readonly address: string;
  readonly leadership: Leadership;
  /** Waits, by commits, until the condition holds of the store. */
  until(condition: (view: View) => boolean, deadlineMs?: number): Promise<void>;
}

export const noLogs: LogSubscriptions = {
  subscriptionsFor: () => [],
  watchSubscriptions: () => ({ [Symbol.dispose]: () => {} }),
};

export async function startTestManager(
  options: { clock?: Clock; logSubscriptions?: LogSubscriptions; test?: TestStore } = {},
): Promise<TestManager> {
  const { clock = systemClock, logSubscriptions = noLogs, test = openTestStore(clock) } = options;
  const { store } = test;
  const leadership = startLeader(
    { managers: () => ["127.0.0.1:2377"] },
    {
      store,
      clock,
      random: systemRandom,
      log: silentLog,
      logSubscriptions,
      authenticate: ({ metadata }) => {
        const node = store.get("node", metadata.get("swarm-node-id") ?? "");
        if (node === undefined) throw new Fault("unauthenticated", "no such node");
        return node;
      },
    },
  );
  const server = new Server();
  addService(
    server,
    DispatcherService,
    dispatcherHandlers(() => leadership.dispatcher),
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return {
    ...test,
    address: `127.0.0.1:${port}`,
    leadership,
    until: (condition, deadlineMs) => untilStore(store, condition, deadlineMs),
    async [Symbol.asyncDispose]() {
      await leadership[Symbol.asyncDispose]();
      server.forceShutdown();
    },
  };
}
