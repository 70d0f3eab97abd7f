import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { systemRandom } from "#proto/system-ports.ts";
import { TestAuthority } from "#proto/testing/test-authority.ts";
import { newUnlockKey } from "#proto/unlock-key.ts";
import { CertificateFiles } from "./certificates.ts";

const authority = await TestAuthority.create();
const [old, fresh] = [await authority.identity(), await authority.identity()];

function filesIn(t: TestContext): CertificateFiles {
  const folder = mkdtempSync(join(tmpdir(), "swarm-certificates-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return new CertificateFiles(join(folder, "certificates"), systemRandom);
}

test("certificates, come back as they were written, and are root's alone", async (t) => {
  const files = filesIn(t);
  await files.write(old, "");
  await files.write(fresh, "");
  assert.deepEqual(await files.read(), fresh);
  const names = ["ca.crt", "node.crt", "node.key"];
  assert.deepEqual((await readdir(files.folder)).toSorted(), names);
  for (const name of names) {
    assert.equal((await stat(join(files.folder, name))).mode & 0o777, 0o600);
  }
  await files.remove();
  await assert.rejects(files.read(), { code: "data-loss" });
});

test("certificates, a sealed key opens with its unlock key alone", async (t) => {
  const files = filesIn(t);
  const unlockKey = newUnlockKey(systemRandom);
  await files.write(old, unlockKey);
  const text = await readFile(join(files.folder, "node.key"), "utf8");
  assert.match(text, /^-----BEGIN SEALED PRIVATE KEY-----\n/);
  assert(!text.includes("BEGIN PRIVATE KEY"));
  assert.equal(await files.read(), "locked");
  assert.equal(await files.readCertificate(), old.certificate);
  assert.equal(await files.read(newUnlockKey(systemRandom)), "locked");
  assert.deepEqual(await files.read(unlockKey), old);
  await assert.rejects(files.read("hello"), { code: "invalid-argument" });
});

test("certificates, the unlock key may change, and be given up", async (t) => {
  const files = filesIn(t);
  const [first, second] = [newUnlockKey(systemRandom), newUnlockKey(systemRandom)];
  await files.write(old, first);
  await files.write(old, second);
  assert.equal(await files.read(first), "locked");
  assert.deepEqual(await files.read(second), old);
  await files.write(old, "");
  assert.deepEqual(await files.read(), old);
});

/** As `write` leaves them when it is interrupted after the new key, or after the new certificate as well. */
async function interrupted(files: CertificateFiles, after: "key" | "certificate"): Promise<void> {
  const path = (name: string) => join(files.folder, name);
  await files.write(fresh, "");
  await rename(path("node.key"), path("node.key.next"));
  await writeFile(path("node.key"), old.key);
  if (after === "key") await writeFile(path("node.crt"), old.certificate);
}

test("certificates, a write that a crash interrupts leaves the old pair or the new one", async (t) => {
  const files = filesIn(t);
  await interrupted(files, "key");
  assert.deepEqual(await files.read(), old);
  await interrupted(files, "certificate");
  assert.deepEqual(await files.read(), fresh);
  // Finished: the same again without the file that waited.
  assert.deepEqual((await readdir(files.folder)).toSorted(), ["ca.crt", "node.crt", "node.key"]);
  assert.deepEqual(await files.read(), fresh);
});

test("certificates, what is damaged is told with its file and what to do", async (t) => {
  const files = filesIn(t);
  const damages: readonly (readonly [name: string, text: string | undefined, why: RegExp])[] = [
    ["node.crt", undefined, /node\.crt" is missing/],
    ["node.crt", "", /node\.crt: it is not a certificate/],
    ["node.crt", fresh.certificate, /node\.key is not the key of node\.crt/],
    ["node.key", undefined, /node\.key" is missing/],
    ["node.key", "", /node\.key is not a private key/],
    ["node.key", fresh.key, /node\.key is not the key of node\.crt/],
    ["ca.crt", undefined, /ca\.crt" is missing/],
    ["ca.crt", "torn", /ca\.crt holds no certificate/],
  ];
  for (const [name, text, why] of damages) {
    await files.write(old, "");
    const path = join(files.folder, name);
    await (text === undefined ? rm(path) : writeFile(path, text));
    await assert.rejects(files.read(), (thrown) => {
      assert(thrown instanceof Fault);
      assert.equal(thrown.code, "data-loss");
      assert.match(thrown.message, why);
      assert.match(thrown.message, /put the files back, or leave the cluster with --force/);
      assert(!thrown.message.includes("PRIVATE KEY"));
      return true;
    });
  }
});

test("certificates, any key file is a Fault or locked", async (t) => {
  const files = filesIn(t);
  const unlockKey = newUnlockKey(systemRandom);
  await files.write(old, unlockKey);
  const sealed = fc
    .base64String()
    .map(
      (text) => `-----BEGIN SEALED PRIVATE KEY-----\n${text}\n-----END SEALED PRIVATE KEY-----\n`,
    );
  const property = fc.asyncProperty(fc.oneof(fc.string(), sealed), async (text) => {
    await writeFile(join(files.folder, "node.key"), text);
    const read = await files.read(unlockKey).catch((thrown: unknown) => thrown);
    assert(read === "locked" || (read instanceof Fault && read.code === "data-loss"));
  });
  await fc.assert(property, { numRuns: 50 });
});
