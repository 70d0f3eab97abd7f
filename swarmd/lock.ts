/**
 * One swarmd per data root, per run root and per host: two would take each other's containers and networks for strays.
 * The kernel drops each of these locks with the process, however it ends, so a crash leaves nothing to clean up.
 */
import { once } from "node:events";
import { chmodSync, mkdirSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { errnoOf, Fault } from "#proto/fault.ts";

/** An abstract socket (unix(7)): a name in the network namespace, which is what the networks belong to. */
const hostLock = "\0swarm-engine";

/** The lock of a folder is that of an SQLite file in it. `what`: what the folder is called where people read of it. */
export function lockFolder(folder: string, what: "data root" | "run root"): Disposable {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o711 });
  } catch (thrown) {
    throw Fault.wrap(`Cannot make the ${what} "${folder}"`, thrown);
  }
  const path = join(folder, "swarmd.lock");
  const database = new DatabaseSync(path);
  try {
    // Who may read the file may lock it, and keep swarmd from starting.
    chmodSync(path, 0o600);
    database.exec("BEGIN EXCLUSIVE");
  } catch (thrown) {
    database.close();
    if (!Fault.from(thrown).message.includes("locked")) {
      throw Fault.wrap(`Cannot lock the ${what} "${folder}"`, thrown);
    }
    throw new Fault(
      "failed-precondition",
      `another swarmd uses the ${what} "${folder}": stop it first`,
      { cause: thrown },
    );
  }
  return { [Symbol.dispose]: () => database.close() };
}

/** Whatever its folders: the links, routes, rules and namespaces of a host are there once. */
export async function lockHost(): Promise<AsyncDisposable> {
  const server = createServer((socket) => socket.destroy());
  server.listen(hostLock);
  try {
    await once(server, "listening");
  } catch (thrown) {
    if (errnoOf(thrown) !== "EADDRINUSE") throw Fault.wrap("Cannot lock this host", thrown);
    throw new Fault(
      "failed-precondition",
      "another swarmd runs on this host, with other folders: stop it first",
      { cause: thrown },
    );
  }
  server.unref();
  return {
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
