/** Packages of two versions of the same sources, for tests that install them. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Contents, makeContents } from "../contents.ts";

export const older = "0.1.0";
export const newer = "0.2.0";

/** Processors are named as Node names them. */
export const ownArch = process.arch === "arm64" ? "arm64" : "x64";

export interface TestPackages extends AsyncDisposable {
  readonly folder: string;
  /** By version. The programs themselves are the same. */
  readonly contentsOf: (version: string) => Contents;
}

export async function openTestPackages(): Promise<TestPackages> {
  const folder = await mkdtemp(join(tmpdir(), "test-packages-"));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const contents = await makeContents(folder, { version: older, epoch: 1_000_000_000 });
    return {
      folder,
      contentsOf: (version) => ({ ...contents, version }),
      [Symbol.asyncDispose]: remove,
    };
  } catch (thrown) {
    await remove();
    throw thrown;
  }
}
