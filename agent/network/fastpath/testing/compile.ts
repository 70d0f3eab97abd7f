/** Switches the fast path on for all hosts of a test's process: those that it starts afterwards load what is compiled here. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { systemExec } from "#agent/exec.ts";

/** Tells a host's process where the object is; without, there is no fast path. */
export const fastPathVariable = "SWARM_TEST_FAST_PATH";

const build = fileURLToPath(new URL("../build.sh", import.meta.url));

/** Until it is disposed. */
export async function useFastPath(): Promise<AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), "fastpath-"));
  const objectPath = join(folder, "fastpath.o");
  await systemExec.run("sh", [build, objectPath]);
  process.env[fastPathVariable] = objectPath;
  return {
    async [Symbol.asyncDispose]() {
      delete process.env[fastPathVariable];
      await rm(folder, { recursive: true, force: true });
    },
  };
}
