/** Programs by their absolute paths: systemd's PATH for services may lack the sbin folders, and mounts need a path. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "#proto/fault.ts";

const folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** `use` says what it is for, `debianPackage` what has it. */
export function findProgram(name: string, use: string, debianPackage: string): string {
  const path = folders.map((folder) => join(folder, name)).find(existsSync);
  if (path !== undefined) return path;
  throw new Fault(
    "failed-precondition",
    `cannot find ${use} "${name}": install the package "${debianPackage}"`,
  );
}
