import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { checkPackage } from "./check-package.ts";

let folder: string;

before(() => {
  folder = mkdtempSync(join(tmpdir(), "swarm-check-package-"));
});

after(() => rmSync(folder, { recursive: true, force: true }));

/** A package with the files that say what it is, a large one among them. */
function packageOf(version: string, arch: string, name = `swarm-${version}-linux-${arch}`): string {
  const top = join(folder, name);
  mkdirSync(join(top, "root"), { recursive: true });
  writeFileSync(join(top, "arch"), `${arch}\n`);
  writeFileSync(join(top, "root/node"), Buffer.alloc(300_001, "node"));
  writeFileSync(join(top, "version"), `${version}\n`);
  const path = join(folder, `${name}.tar.gz`);
  assert.equal(spawnSync("tar", ["-czf", path, "-C", folder, name]).status, 0);
  return path;
}

test("a package that is what its name says is taken", async () => {
  const path = packageOf("0.2.0", "x64");
  await checkPackage({ path, version: "0.2.0", arch: "x64" });
});

test("a package of another version or processor than its name says is refused", async () => {
  const path = packageOf("0.2.0", "x64");
  const message = `Cannot use the package "${path}": it holds 0.2.0 for x64, which its name does not say`;
  await assert.rejects(checkPackage({ path, version: "0.3.0", arch: "x64" }), { message });
  await assert.rejects(checkPackage({ path, version: "0.2.0", arch: "arm64" }), { message });
});

test("a package that is not there or no package is refused by its name", async () => {
  const missing = join(folder, "missing.tar.gz");
  await assert.rejects(checkPackage({ path: missing, version: "1", arch: "x64" }), {
    code: "not-found",
  });
  const text = join(folder, "text.tar.gz");
  writeFileSync(text, "this is no archive");
  await assert.rejects(
    checkPackage({ path: text, version: "1", arch: "x64" }),
    /it is damaged: copy it again/,
  );
});

test("a package that is cut short or changed is refused, and nothing but a Fault comes of any bytes", async () => {
  const whole = readFileSync(packageOf("0.2.0", "x64"));
  const path = join(folder, "damaged.tar.gz");
  const damaged = fc.oneof(
    fc.nat({ max: whole.length - 1 }).map((length) => whole.subarray(0, length)),
    fc
      .tuple(fc.integer({ min: 10, max: whole.length - 1 }), fc.integer({ min: 1, max: 255 }))
      .map(([at, by]) => {
        const copy = Buffer.from(whole);
        copy[at] = (copy[at] ?? 0) ^ by;
        return copy;
      }),
    fc.uint8Array({ maxLength: 2_000 }),
  );
  await fc.assert(
    fc.asyncProperty(damaged, async (bytes) => {
      writeFileSync(path, bytes);
      await assert.rejects(
        checkPackage({ path, version: "0.2.0", arch: "x64" }),
        (thrown) => thrown instanceof Fault,
      );
    }),
    { numRuns: 60 },
  );
});
