import assert from "node:assert/strict";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { cacheFolder, isOwn } from "./cache-folder.ts";

test("what is compiled is kept where nobody else can write, and nowhere else", async () => {
  const home = await mkdtemp(join(tmpdir(), "cache-folder-"));
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => rm(home, { recursive: true }));
  const kept = join(home, ".cache", "swarmctl");
  assert.equal(cacheFolder({ HOME: home }), kept);
  assert.equal(cacheFolder({ HOME: home, XDG_CACHE_HOME: "" }), kept);
  assert.equal(cacheFolder({ HOME: "/", XDG_CACHE_HOME: home }), join(home, "swarmctl"));
  for (const none of [{}, { HOME: "" }, { HOME: "." }, { HOME: join(home, "gone") }]) {
    assert.equal(cacheFolder(none), undefined);
  }
  await chmod(home, 0o770);
  assert.equal(cacheFolder({ HOME: home }), undefined);
  const uid = process.getuid?.() ?? 0;
  assert.equal(isOwn({ uid, mode: 0o600 }), true);
  assert.equal(isOwn({ uid: uid + 1, mode: 0o600 }), false);
});
