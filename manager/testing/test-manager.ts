/** A manager in memory, alone or in a group, with what agents and other managers call on a loopback port. */
import { Fault } from "#proto/fault.ts";
import { DispatcherService, LogBrokerService } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { PeerService } from "#proto/gen/swarm/v1/manager_pb.ts";
import { type CallContext, addService, Connection } from "#proto/grpc.ts";
import type { Clock } from "#proto/ports.ts";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { TestServer } from "#proto/testing/test-server.ts";
import type { UsageBook } from "../autoscaler/usage-book.ts";
import type { LogSubscriptions } from "../dispatcher/assignment-stream.ts";
import { Dispatcher, dispatcherHandlers } from "../dispatcher/dispatcher.ts";
import { type Leadership, startLeader } from "../leader.ts";
import { Leading } from "../leading.ts";
import { LogBroker } from "../logbroker/log-broker.ts";
import { logBrokerHandlers } from "../logbroker/log-broker-service.ts";
import { peerHandlers } from "../peer/peer-service.ts";
import { Peers } from "../peer/peers.ts";
import type { View } from "../store/store.ts";
import { openTestStore, testNode, type TestStore } from "./fixtures.ts";
import { MemoryGroup } from "./memory-log.ts";
import { untilStore } from "./until.ts";

export interface TestManager extends TestStore, AsyncDisposable {
  readonly address: string;
  readonly logBroker: LogBroker;
  /** While it leads. */
  readonly usageBook: () => UsageBook | undefined;
  /** Waits, by commits, until the condition holds of the store. */
  until(condition: (view: View) => boolean, deadlineMs?: number): Promise<void>;
}

export interface TestManagerOptions {
  readonly clock?: Clock;
  /** Instead of the manager's own log broker. */
  readonly logSubscriptions?: LogSubscriptions;
  readonly test?: TestStore;
}

export const noLogs: LogSubscriptions = {
  subscriptionsFor: () => [],
  watchSubscriptions: () => ({ [Symbol.dispose]: () => {} }),
};

/** One that leads whenever its log does; without a store of its own it is alone. */
export async function startTestManager(options: TestManagerOptions = {}): Promise<TestManager> {
  return serve(await TestServer.onPort(), options);
}

/** Managers of one group, "manager1" and so on; the first leads. Each is in the store as a node of its own, number 101 on. */
export async function startTestManagers(
  count: number,
  { clock = systemClock }: { clock?: Clock } = {},
): Promise<{ readonly group: MemoryGroup; readonly managers: readonly TestManager[] }> {
  const group = new MemoryGroup();
  const managers: TestManager[] = [];
  for (let number = 1; number <= count; number++) {
    const server = await TestServer.onPort();
    const { address } = server;
    const test = openTestStore(clock, { group, nodeId: `manager${number}`, address });
    managers.push(serve(server, { clock, test }));
  }
  const [first] = managers;
  group.lead(first?.log);
  for (const [index, { address, log }] of managers.entries()) {
    const node = testNode(101 + index, { id: log.self.nodeId, managerStatus: { address } });
    await first?.put("node", { ...node, status: undefined });
  }
  await Promise.all(managers.map(({ log }) => log.barrier()));
  return { group, managers };
}

function serve(server: TestServer, options: TestManagerOptions): TestManager {
  const { clock = systemClock, test = openTestStore(clock) } = options;
  const { store, log: replication } = test;
  const { nodeId } = replication.self;
  const { grpc, address } = server;
  const ports = { clock, random: systemRandom, log: silentLog };
  const authenticate = ({ metadata }: CallContext) => {
    const node = store.get("node", metadata.get("swarm-node-id") ?? "");
    if (node === undefined) throw new Fault("unauthenticated", "no such node");
    return node;
  };
  const metadata = { "swarm-node-id": nodeId };
  const peers = new Peers({
    store,
    replication,
    connect: (peer) => new Connection(peer, { metadata }),
  });
  const logBroker = new LogBroker(
    { nodeId },
    { ...ports, store, manager: (id) => peers.manager(id) },
  );
  let leadership: Leadership | undefined;
  const leading = new Leading({
    replication,
    log: silentLog,
    startLeader: () => (leadership = startLeader({ nodeId }, { ...ports, store })),
  });
  const nodeLiveness = () => (replication.leading ? leadership?.nodeLiveness : undefined);
  const usageBook = () => (replication.leading ? leadership?.usageBook : undefined);
  const { logSubscriptions = logBroker } = options;
  const dispatcher = new Dispatcher(
    { nodeId },
    {
      ...ports,
      store,
      replication,
      authenticate,
      logSubscriptions,
      nodeLiveness,
      usageBook,
      leader: () => peers.leader(),
    },
  );
  addService(grpc, DispatcherService, dispatcherHandlers(dispatcher));
  addService(grpc, LogBrokerService, logBrokerHandlers({ logBroker, authenticate }));
  addService(grpc, PeerService, peerHandlers({ authenticate, nodeLiveness, usageBook, logBroker }));
  return {
    ...test,
    address,
    logBroker,
    usageBook,
    until: (condition, deadlineMs) => untilStore(store, condition, deadlineMs),
    async [Symbol.asyncDispose]() {
      server[Symbol.dispose]();
      await dispatcher[Symbol.asyncDispose]();
      await leading[Symbol.asyncDispose]();
      logBroker[Symbol.dispose]();
      peers[Symbol.dispose]();
    },
  };
}
