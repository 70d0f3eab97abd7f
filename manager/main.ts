/**
 * The manager process. Comes to its log, takes part in its group, and serves nodes, users and other managers.
 *
 * It is swarmd's child and is told everything by it: see proto/manager-messages.ts. Its log goes to stderr, and it ends
 * cleanly on SIGTERM or with its parent.
 * Exit status: 0 told to end, locked, or removed from the group; 1 it cannot go on, and says why in its last line; 2 wrong
 * usage.
 */
import { Fault } from "#proto/fault.ts";
import type { Ports } from "#proto/ports.ts";
import { systemClock, systemRandom } from "#proto/system-ports.ts";
import { createLog, type ProgramLog } from "#proto/winston-log.ts";
import { clusterOf, snapshotSettings } from "./cluster.ts";
import { type Config, help, parseConfig } from "./config.ts";
import { FileLock } from "./file-lock.ts";
import { isFounding, issueFirst } from "./first-certificate.ts";
import { isLocked, type RaftStorage } from "./log/raft-storage.ts";
import { ManagerIdentity } from "./manager-identity.ts";
import { openLog } from "./open-log.ts";
import { requireOwnAddress } from "./own-address.ts";
import { type Begin, Parent } from "./parent.ts";
import { settledWithin } from "./replication/limits.ts";
import { RaftLog } from "./replication/raft-log.ts";
import { castOutManagers } from "./role-manager/cast-out.ts";
import { serveJoiner, serveManager } from "./serve.ts";
import { Store } from "./store/store.ts";

/** What a clean stop gives another manager to take over. */
const farewellMs = 1_000;

interface Modules extends Ports {
  readonly parent: Parent;
  readonly identity: ManagerIdentity;
}

/** Runs until told to end, or until a part cannot go on, which throws its Fault. */
async function run(
  config: Config,
  parent: Parent,
  ports: Ports & { readonly log: ProgramLog },
): Promise<void> {
  const identity = new ManagerIdentity();
  parent.onIdentity((news) => identity.set(news));
  const begin = await parent.begin;
  const { start, unlockKey = "" } = begin;
  const founding = isFounding(start) ? start : undefined;
  const nodeId = founding?.nodeId ?? identity.nodeId;
  const modules = { ...ports, parent, identity };
  const storage = await openStorage(config, { begin, nodeId }, modules);
  if (storage === undefined) return;

  await using parts = new AsyncDisposableStack();
  const store = new Store(ports);
  const connect = (address: string, id?: string) => identity.connect(address, id);
  const address = config.advertiseAddress;
  const replication = parts.use(
    await RaftLog.open({ address }, { ...ports, storage, machine: store, connect }),
  );
  store.attach(replication);
  parts.use(configureSnapshots(store, replication));
  const fileLock = parts.use(
    new FileLock(unlockKey, {
      ...ports,
      store,
      storage,
      replication,
      tell: (message) => parent.tell(message),
    }),
  );
  if (founding !== undefined) {
    await replication.barrier();
    const raftId = BigInt(replication.serverId);
    parent.tell(await issueFirst(founding, { address, raftId }, { ...ports, store }));
    const ended = await Promise.race([parent.identity.then(() => undefined), parent.ended]);
    if (ended !== undefined) return;
  }
  const options = { config, nodeId, tls: identity.tls };
  const serving = parts.use(await serveManager(options, { ...ports, store, replication, connect }));
  parent.onSettings((args) => {
    const next = parseConfig(args, process.env);
    if (next === undefined) return;
    serving.configure(next);
    ports.log.setLevel(next.logLevel);
  });
  if (founding !== undefined) await requireOwnAddress(address, connect);
  const over = Promise.race([
    parent.ended,
    wasRemoved(replication, parent),
    serving.failed,
    fileLock.failed,
    failure(replication),
  ]);
  over.catch(() => undefined);
  // One that was there before serves also while it finds no majority.
  if (start.how === "join") {
    const ended = await Promise.race([admitted(store, nodeId), over]);
    if (ended !== undefined) return;
  }
  if (start.how === "force-new-cluster") await castOutManagers(nodeId, { store, replication });
  // The first to end: until another manager leads, everything here still answers.
  parts.defer(() => settledWithin(farewellMs, replication.handOver(), ports.clock));
  parent.tell({ kind: "ready" });
  ports.log.info("The manager serves", { listenAddress: config.listenAddress, address });
  ports.log.info("The manager ends", { reason: await over });
}

/** Now and whenever the cluster's settings may be others. */
function configureSnapshots(store: Store, replication: RaftLog): Disposable {
  const configure = () => replication.configureSnapshots(snapshotSettings(clusterOf(store)));
  configure();
  return store.watch(configure);
}

/** The log of this manager; undefined when its files are locked, which the parent is told. */
async function openStorage(
  config: Config,
  { begin, nodeId }: { readonly begin: Begin; readonly nodeId: string },
  { parent, identity, ...ports }: Modules,
): Promise<RaftStorage | undefined> {
  const { start, unlockKey = "" } = begin;
  const { dataRoot, advertiseAddress: address } = config;
  const options = { start, dataRoot, address, nodeId, unlockKey };
  const connect = (manager: string) => identity.connect(manager);
  try {
    if (start.how !== "join") return await openLog(options, { ...ports, connect });
    // Whoever takes it in first tries whether its address leads to it.
    await using _joiner = await serveJoiner({ config, tls: identity.tls }, ports);
    return await openLog(options, { ...ports, connect });
  } catch (thrown) {
    if (!isLocked(thrown)) throw thrown;
    parent.tell({ kind: "locked" });
    ports.log.warn("The log is locked", { error: Fault.from(thrown).message });
    return undefined;
  }
}

/** Resolves when this node is a manager in the store: its server has caught up, and votes. */
async function admitted(store: Store, nodeId: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const look = () => {
    if (store.get("node", nodeId)?.managerStatus !== undefined) resolve();
  };
  using _watch = store.watch(look);
  look();
  await promise;
}

async function wasRemoved(replication: RaftLog, parent: Parent): Promise<string> {
  await replication.removed;
  parent.tell({ kind: "removed" });
  return "this manager was taken out of its group";
}

async function failure(replication: RaftLog): Promise<never> {
  throw await replication.failed;
}

function configOrExit(): Config {
  try {
    const config = parseConfig(process.argv.slice(2), process.env);
    if (config !== undefined) return config;
    process.stdout.write(help);
    process.exit(0);
  } catch (thrown) {
    process.stderr.write(`manager: ${Fault.from(thrown).message}; see --help\n`);
    process.exit(2);
  }
}

/** A log may be written to a pipe, which takes a moment. */
function exitWhenWritten(status: number): void {
  process.stderr.write("", () => process.exit(status));
}

// A parent that was killed reads nothing more; the end that its closing of stdin begins shall be a clean one still.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

const config = configOrExit();
// Lines go through swarmd, which leaves the variable to its manager only where they come to journald.
const format = process.env["JOURNAL_STREAM"] === undefined ? "line" : "journal";
const log = createLog({ level: config.logLevel, format });
try {
  await run(config, new Parent(), { clock: systemClock, random: systemRandom, log });
  exitWhenWritten(0);
} catch (thrown) {
  process.stderr.write(`manager: ${Fault.from(thrown).message}\n`);
  exitWhenWritten(1);
}
