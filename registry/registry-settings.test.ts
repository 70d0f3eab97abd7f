import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock, systemRandom } from "#proto/system-ports.ts";
import { parseReference } from "./reference.ts";
import { Registry } from "./registry.ts";
import { imageOf } from "./testing/test-image.ts";
import { accountAuth, startRegistry } from "./testing/test-registry.ts";

test("registry, with other settings, goes by them from the next request on", async (t) => {
  await using server = await startRegistry({ isPrivate: true });
  const image = imageOf([Buffer.alloc(1_000, "layer")], { compress: (bytes) => bytes });
  await server.push("team/app", "1", image);
  const folder = mkdtempSync(join(tmpdir(), "test-registry-settings-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const credentialsFile = join(folder, "logins.json");
  writeFileSync(
    credentialsFile,
    JSON.stringify({ auths: { [server.host]: { auth: accountAuth } } }),
  );
  const modules = { clock: systemClock, random: systemRandom };
  using registry = new Registry({ insecureRegistries: [], backoffMs: 5 }, modules);
  const reference = parseReference(`${server.host}/team/app:1`);
  const resolve = () => registry.resolve(reference, { signal: AbortSignal.timeout(15_000) });
  await assert.rejects(resolve(), { code: "unauthenticated" });
  registry.configure({ insecureRegistries: [], credentialsFile });
  assert.equal(await resolve(), image.manifest.digest);
  registry.configure({ insecureRegistries: [] });
  await assert.rejects(resolve(), { code: "unauthenticated" });
});
