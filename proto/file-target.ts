/** Where and how the file of a secret or config stands in a container: Swarm's defaults filled in. Pure. */
import { posix } from "node:path";
import { Fault } from "./fault.ts";
import type { ConfigReference, FileTarget, SecretReference } from "./gen/swarm/v1/types_pb.ts";

export interface ContainerFile {
  /** Absolute, normalised. */
  readonly path: string;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

const modeDefault = 0o444;
const modeMax = 0o7777;

/** 32 bits, of which the last means "no ID" (chown(2)). */
const idMax = 0xffff_fffe;

export function secretFile({ file, secretName }: SecretReference): ContainerFile {
  return containerFile("/run/secrets", file, secretName);
}

export function configFile({ file, configName }: ConfigReference): ContainerFile {
  return containerFile("/", file, configName);
}

function containerFile(
  folder: string,
  target: FileTarget | undefined,
  objectName: string,
): ContainerFile {
  const name = target?.name || objectName;
  const mode = target?.mode || modeDefault;
  if (name.includes("\0") || name.endsWith("/") || name.split("/").includes("..")) {
    throw new Fault("invalid-argument", `the target ${JSON.stringify(name)} is not a file's path`);
  }
  if (mode > modeMax) {
    throw new Fault("invalid-argument", `the mode ${mode.toString(8)} is more than 7777`);
  }
  const path = posix.resolve(folder, name);
  return { path, uid: parseId("uid", target?.uid), gid: parseId("gid", target?.gid), mode };
}

function parseId(what: string, text = ""): number {
  const id = text === "" ? 0 : Number(text);
  if (/^\d*$/.test(text) && id <= idMax) return id;
  throw new Fault("invalid-argument", `the ${what} "${text}" is not a number of 0 to ${idMax}`);
}
