/**
 * One swarmd per data root and per run root: two would take each other's containers for strays. The lock is that of an
 * SQLite file held in an open exclusive transaction: the kernel drops it with the process, however it ends, so a crash
 * leaves nothing to clean up.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Fault } from "#proto/fault.ts";

/** `what`: what the folder is called where people read of it. */
export function lockFolder(folder: string, what: "data root" | "run root"): Disposable {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o711 });
  } catch (thrown) {
    throw Fault.wrap(`Cannot make the ${what} "${folder}"`, thrown);
  }
  const database = new DatabaseSync(join(folder, "swarmd.lock"));
  try {
    database.exec("BEGIN EXCLUSIVE");
  } catch (thrown) {
    database.close();
    if (!Fault.from(thrown).message.includes("locked")) {
      throw Fault.wrap(`Cannot lock the ${what} "${folder}"`, thrown);
    }
    throw new Fault(
      "failed-precondition",
      `another swarmd uses the ${what} "${folder}": stop it, or give this one another --data-root and --run-root`,
      { cause: thrown },
    );
  }
  return { [Symbol.dispose]: () => database.close() };
}
