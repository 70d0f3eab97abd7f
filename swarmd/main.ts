/** swarmd: reads the command line, makes the ports, runs the daemon until it is told to stop. */
import { enableCompileCache } from "node:module";
import { join } from "node:path";
import { Fault } from "#proto/fault.ts";
import { systemClock, systemRandom } from "#proto/system-ports.ts";
import { version } from "#proto/version.ts";
import { type Command, type Config, help, parseCommand } from "./config.ts";
import { lockFolder, lockHost } from "./lock.ts";

function readCommand(): Command {
  try {
    return parseCommand(process.argv.slice(2), process.env);
  } catch (thrown) {
    process.stderr.write(`swarmd: ${Fault.from(thrown).message}; see swarmd --help\n`);
    process.exit(2);
  }
}

async function run(config: Config): Promise<void> {
  await using parts = new AsyncDisposableStack();
  parts.use(lockFolder(config.dataRoot, "data root"));
  parts.use(lockFolder(config.runRoot, "run root"));
  parts.use(await lockHost());
  // What was compiled once starts in half the time: a node whose swarmd starts anew must be back before it counts as down.
  enableCompileCache(join(config.dataRoot, "compiled"));
  const { createLog } = await import("#proto/winston-log.ts");
  const { Daemon } = await import("./daemon.ts");
  const { serveNode } = await import("./node-service.ts");
  const log = createLog({ level: config.logLevel });
  const ports = { clock: systemClock, random: systemRandom, log };
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
  const signal = await stopSignal();
  log.info("swarmd stops; containers go on running", { signal });
}

function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const)
      process.once(signal, () => resolve(signal));
  });
}

const command = readCommand();
switch (command.command) {
  case "help":
    process.stdout.write(help);
    break;
  case "version":
    process.stdout.write(`swarmd ${version}\n`);
    break;
  case "run":
    try {
      await run(command.config);
      process.exit(0);
    } catch (thrown) {
      process.stderr.write(`swarmd: ${Fault.from(thrown).message}\n`);
      process.exit(1);
    }
}
