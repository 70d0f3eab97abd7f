/** What managers and agents hold alike of volumes: names, the local driver's options, subpaths, tmpfs options. Pure. */
import { Fault } from "./fault.ts";

/** Docker's: at least two characters, and nothing that could be a path. */
const namePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
const nameLengthMax = 255;

export function checkVolumeName(name: string): void {
  if (namePattern.test(name) && name.length <= nameLengthMax) return;
  throw new Fault(
    "invalid-argument",
    `"${name}" is not a name for a volume: use 2 to ${nameLengthMax} letters, digits, "_", "." and "-", beginning with a letter or digit; for a folder of the host use a bind mount`,
  );
}

export function checkVolumeDriver(name: string): void {
  if (name === "" || name === "local") return;
  throw new Fault(
    "unimplemented",
    `the volume driver "${name}" is not supported: there is "local", which mounts nfs and others by its options`,
  );
}

const optionNames = ["type", "o", "device"] as const;

/** Docker's rules: "o" needs the other two, and those need each other. */
export function checkVolumeOptions(options: Readonly<Record<string, string>>): void {
  for (const name of Object.keys(options)) {
    if (optionNames.some((known) => known === name)) continue;
    const message = `"${name}" is not an option of the volume driver "local": there are ${optionNames.join(", ")}`;
    throw new Fault("invalid-argument", message);
  }
  if (Object.keys(options).length === 0) return;
  for (const name of ["type", "device"]) {
    if (options[name]) continue;
    throw new Fault(
      "invalid-argument",
      `the volume driver "local" needs the option "${name}", too`,
    );
  }
  for (const value of Object.values(options)) {
    if (!/[\0\n]/.test(value)) continue;
    throw new Fault("invalid-argument", "an option of the volume has a line break in it");
  }
}

/** The names on the way from the volume's root; links are for the agent to refuse, which sees them. */
export function parseSubpath(subpath: string): readonly string[] {
  const names = subpath.split("/").filter((name) => name !== "" && name !== ".");
  if (!subpath.startsWith("/") && !names.includes("..") && !subpath.includes("\0")) return names;
  throw new Fault(
    "invalid-argument",
    `the subpath "${subpath}" is not a path inside the volume: leave out a leading "/" and ".."`,
  );
}

/** Of tmpfs(5) and of mounts in general, without what a container must not have its way with. */
const tmpfsOption =
  /^(?:(?:size|nr_blocks|nr_inodes|mode|uid|gid)=[0-9]+[kmgKMG%]?|ro|rw|(?:no)?(?:exec|suid|dev|atime|diratime|relatime|strictatime)|sync|async|dirsync)$/;

export function parseTmpfsOptions(text: string): readonly string[] {
  const options = text.split(",").filter((option) => option !== "");
  const unknown = options.find((option) => !tmpfsOption.test(option));
  if (unknown === undefined) return options;
  throw new Fault("invalid-argument", `"${unknown}" is not an option of a tmpfs mount`);
}
