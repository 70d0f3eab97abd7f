import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { silentLog } from "#proto/system-ports.ts";
import { ImageIndex } from "./image-index.ts";

const digest = `sha256:${"ab".repeat(32)}`;
const entry = { reference: "registry:5000/web:1", digest, manifestDigest: digest, usedAtMs: 1 };

test("image index, what could not be written is written when it is set again", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "image-index-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "index.json");
  const index = await ImageIndex.open(path, silentLog);
  mkdirSync(`${path}.new`);
  await assert.rejects(index.set(entry));
  assert.deepEqual(index.entries, []);
  rmdirSync(`${path}.new`);
  await index.set(entry);
  assert.deepEqual((await ImageIndex.open(path, silentLog)).entries, [entry]);
  mkdirSync(`${path}.new`);
  await assert.rejects(index.set({ ...entry, digest: digest.replaceAll("ab", "cd") }));
  assert.deepEqual(index.entries, [entry]);
});

test("image index, a list that is damaged or of another version is an empty one", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "image-index-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "index.json");
  for (const text of [
    "",
    "[",
    '{"formatVersion":1,"images":[]}',
    '{"formatVersion":2,"images":3}',
  ]) {
    writeFileSync(path, text);
    const index = await ImageIndex.open(path, silentLog);
    assert.deepEqual(index.entries, []);
    await index.set(entry);
    assert.deepEqual((await ImageIndex.open(path, silentLog)).entries, [entry]);
  }
});
