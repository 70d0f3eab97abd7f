/** The program that looks whether a host has what is needed: in the sources, and beside the bundles. */
import { fileURLToPath } from "node:url";

export function checkHostPath(): string {
  return fileURLToPath(import.meta.resolve("#package/check-host.sh"));
}

/**
 * For `sh`: what runs the program with what follows. That something is missing, which is status 3, is an answer as well.
 */
export function checkHostArgs(flags: readonly string[] = []): readonly string[] {
  return ["-c", 'sh "$0" "$@" || [ $? = 3 ]', checkHostPath(), ...flags];
}
