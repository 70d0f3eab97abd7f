/** The daemon from its start to its end, with all that it takes to run one. Loaded late: see main.ts. */
import { join } from "node:path";
import { systemExec } from "#agent/exec.ts";
import { Fault } from "#proto/fault.ts";
import { systemClock, systemRandom } from "#proto/system-ports.ts";
import { version } from "#proto/version.ts";
import { createLog, writesToJournal } from "#proto/winston-log.ts";
import type { Config } from "./config.ts";
import { Daemon } from "./daemon.ts";
import { serveNode } from "./node-service.ts";
import { ServiceManager } from "./service-manager.ts";

/** Returns when the process is told to stop. `readConfig`: reads flags and file anew. */
export async function run(config: Config, readConfig: () => Config): Promise<void> {
  await using parts = new AsyncDisposableStack();
  const toJournal = writesToJournal(process.env);
  // What the manager says goes where this goes; by the variable it knows.
  if (!toJournal) delete process.env["JOURNAL_STREAM"];
  const log = createLog({ level: config.logLevel, format: toJournal ? "journal" : "line" });
  const ports = { clock: systemClock, random: systemRandom, log };
  const service = parts.use(ServiceManager.take(process.env, { ...ports, exec: systemExec }));
  // Before there is anything to configure anew, it shall at least not be the end.
  let reload = (): Promise<void> => Promise.resolve();
  process.on("SIGHUP", () => void reload());
  const daemon = parts.use(await Daemon.start(config, ports));
  parts.use(
    await serveNode(
      join(config.runRoot, "swarmd.sock"),
      {
        initCluster: (request) => daemon.initCluster(request),
        joinCluster: (request) => daemon.joinCluster(request),
        leaveCluster: (request) => daemon.leaveCluster(request),
        unlockCluster: (request) => daemon.unlockCluster(request),
        restoreCluster: (requests) => daemon.restoreCluster(requests),
        getInfo: async () => daemon.info(),
      },
      ports,
    ),
  );
  log.info("swarmd serves", { version, dataRoot: config.dataRoot, runRoot: config.runRoot });
  const stopped = stopSignal();
  reload = async () => {
    await service.reloading();
    try {
      log.setLevel(daemon.reload(readConfig()).logLevel);
    } catch (thrown) {
      const error = Fault.from(thrown).message;
      log.error("Cannot read the configuration again; what was read before holds", { error });
    }
    await service.reloaded();
  };
  await service.ready({ status: () => daemon.status, complaint: () => daemon.standstill });
  const signal = await stopped;
  if (await service.stopping()) {
    log.info("the host shuts down: its tasks are given to others");
    await daemon.shutDown();
  }
  log.info("swarmd stops", { signal });
}

function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const)
      process.once(signal, () => resolve(signal));
  });
}
