/** The fast path as packages install it, beside its source: hosts of a lab load what they find there. */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { systemExec } from "#agent/exec.ts";
import type { Host } from "#lab/host.ts";

const folder = new URL("../../agent/network/fastpath/", import.meta.url);
const objectPath = fileURLToPath(new URL("fastpath.o", folder));

/** Compiled until it is disposed, or longer where it was before. */
export async function installFastPath(): Promise<AsyncDisposable> {
  const wasInstalled = existsSync(objectPath);
  if (!wasInstalled) await systemExec.run("sh", [fileURLToPath(new URL("build.sh", folder))]);
  return {
    async [Symbol.asyncDispose]() {
      if (!wasInstalled) await rm(objectPath, { force: true });
    },
  };
}

/** A host may go without, where its kernel does not serve. */
export async function hasFastPath(host: Host): Promise<boolean> {
  return (await host.run("tc", ["-j", "qdisc", "show"])).includes('"clsact"');
}
