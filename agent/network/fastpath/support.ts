/** What a host must have for the fast path. */
import { access, constants } from "node:fs/promises";
import type { Exec } from "#agent/exec.ts";

export interface SupportOptions {
  /** Of the kernel: "6.1.0-18-amd64". */
  readonly release: string;
  readonly endianness: "LE" | "BE";
  /** The kernel's own description of its types. */
  readonly btfPath: string;
  readonly objectPath: string;
}

/** The first whose conntrack can be asked by programs at tc. */
const kernelMin = { major: 5, minor: 18 } as const;

/** Nothing, or what to say to the user. */
export async function missingParts(
  options: SupportOptions,
  exec: Exec,
): Promise<readonly string[]> {
  const { release, endianness, btfPath, objectPath } = options;
  const missing: string[] = [];
  if (!isRecent(release)) {
    missing.push(`Linux ${kernelMin.major}.${kernelMin.minor} or later (this is ${release})`);
  }
  if (endianness !== "LE") missing.push("a little-endian machine");
  if (!(await readable(btfPath))) missing.push(`the kernel's BTF in ${btfPath}`);
  if (!(await runs(exec, "bpftool", ["version"]))) {
    missing.push("the program bpftool (Debian package bpftool)");
  }
  if (!(await runs(exec, "tc", ["-V"]))) missing.push("the program tc (Debian package iproute2)");
  if (!(await readable(objectPath))) {
    missing.push(`the compiled ${objectPath} (make it with "npm run fastpath")`);
  }
  return missing;
}

function isRecent(release: string): boolean {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(release) ?? [];
  const difference = Number(major) - kernelMin.major || Number(minor) - kernelMin.minor;
  return difference >= 0;
}

async function readable(path: string): Promise<boolean> {
  try {
    await access(path, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

async function runs(exec: Exec, command: string, args: readonly string[]): Promise<boolean> {
  try {
    await exec.run(command, args);
    return true;
  } catch {
    return false;
  }
}
