/**
 * One swarmd per data root. The lock is that of an SQLite file held in an open exclusive transaction: the kernel drops it
 * with the process, however it ends, so a crash leaves nothing to clean up.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Fault } from "#proto/fault.ts";

export function lockDataRoot(dataRoot: string): Disposable {
  mkdirSync(dataRoot, { recursive: true, mode: 0o711 });
  const database = new DatabaseSync(join(dataRoot, "swarmd.lock"));
  try {
    database.exec("BEGIN EXCLUSIVE");
  } catch (thrown) {
    database.close();
    if (!Fault.from(thrown).message.includes("locked")) {
      throw Fault.wrap(`Cannot lock the data root "${dataRoot}"`, thrown);
    }
    throw new Fault(
      "failed-precondition",
      `another swarmd uses the data root "${dataRoot}": stop it, or give this one another --data-root and --run-root`,
      { cause: thrown },
    );
  }
  return { [Symbol.dispose]: () => database.close() };
}
