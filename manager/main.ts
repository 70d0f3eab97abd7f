/**
 * The manager process. Opens the log and the store, leads, and serves nodes on TCP and users on a unix socket.
 *
 * With its parent, `swarmd`, it speaks in the simplest way: it prints the line "ready" on stdout when it serves, writes its
 * log to stderr, and ends cleanly on SIGTERM or when its stdin, if that is a pipe, ends: so it does not outlive its parent.
 * Exit status: 0 told to end; 1 it cannot go on, and says why in its last line; 2 wrong usage.
 */
import { fstatSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "#proto/fault.ts";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import { DispatcherService, LogBrokerService } from "#proto/gen/swarm/v1/dispatcher_pb.ts";
import { NodeCaService } from "#proto/gen/swarm/v1/node_pb.ts";
import { addService, type CallContext } from "#proto/grpc.ts";
import type { Log, Ports } from "#proto/ports.ts";
import { systemClock, systemRandom } from "#proto/system-ports.ts";
import { createLog } from "#proto/winston-log.ts";
import { applyBootstrap, readBootstrap } from "./ca/bootstrap.ts";
import { nodeCaHandlers } from "./ca/node-ca.ts";
import { authenticateNode } from "./ca/node-secret.ts";
import { type Config, help, parseConfig } from "./config.ts";
import { controlHandlers } from "./control/control-service.ts";
import { dispatcherHandlers } from "./dispatcher/dispatcher.ts";
import { serveEndpoint } from "./endpoint.ts";
import { startLeader } from "./leader.ts";
import { SqliteLog } from "./log/sqlite-log.ts";
import { LogBroker } from "./logbroker/log-broker.ts";
import { logBrokerHandlers } from "./logbroker/log-broker-service.ts";
import { Store } from "./store/store.ts";

/** Runs until told to end, or until a part cannot go on, which throws its Fault. */
async function run(config: Config, ports: Ports): Promise<void> {
  const told = endOrdered();
  await using parts = new AsyncDisposableStack();
  const store = new Store(ports);
  const path = join(config.dataRoot, "manager", "log.db");
  const log = parts.use(await SqliteLog.open({ path }, { machine: store, log: ports.log }));
  store.attach(log);
  await bootstrap(config, { ...ports, store });

  const logBroker = parts.use(new LogBroker({}, { ...ports, store }));
  const authenticate = (context: CallContext) => authenticateNode(store, context);
  const modules = { ...ports, store, logBroker, authenticate };
  const leadership = parts.use(
    startLeader(
      { managers: () => [config.advertiseAddress] },
      { ...modules, logSubscriptions: logBroker },
    ),
  );
  parts.use(
    await serveEndpoint(
      config.listenAddress,
      (server) => {
        addService(server, NodeCaService, nodeCaHandlers(modules));
        addService(
          server,
          DispatcherService,
          dispatcherHandlers(() => leadership.dispatcher),
        );
        addService(server, LogBrokerService, logBrokerHandlers(modules));
      },
      ports,
    ),
  );
  await mkdir(config.runRoot, { recursive: true, mode: 0o711 });
  parts.use(
    await serveEndpoint(
      `unix:${join(config.runRoot, "manager.sock")}`,
      (server) => addService(server, ControlService, controlHandlers(modules)),
      ports,
    ),
  );
  process.stdout.write("ready\n");
  const { listenAddress, advertiseAddress } = config;
  ports.log.info("The manager serves", { listenAddress, advertiseAddress });
  const reason = await Promise.race([told, leadership.failed, failure(log)]);
  ports.log.info("The manager ends", { reason });
}

async function bootstrap(
  { bootstrapPath }: Config,
  modules: Ports & { readonly store: Store },
): Promise<void> {
  if (bootstrapPath !== undefined) {
    await applyBootstrap(await readBootstrap(bootstrapPath), modules);
  } else if (modules.store.list("cluster").length === 0) {
    const message = "the log holds no cluster: begin one with --bootstrap FILE";
    throw new Fault("failed-precondition", message);
  }
}

async function failure(log: SqliteLog): Promise<never> {
  throw await log.failed;
}

/** Resolves with the reason when somebody wants the process to end. */
function endOrdered(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => resolve(signal));
    const stdin = fstatSync(0);
    if (!stdin.isFIFO() && !stdin.isSocket()) return;
    process.stdin.on("close", () => resolve("the parent ended")).resume();
  });
}

function configOrExit(): Config {
  try {
    const config = parseConfig(process.argv.slice(2));
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
const log: Log = createLog({ level: config.logLevel });
try {
  await run(config, { clock: systemClock, random: systemRandom, log });
  exitWhenWritten(0);
} catch (thrown) {
  process.stderr.write(`manager: ${Fault.from(thrown).message}\n`);
  exitWhenWritten(1);
}
