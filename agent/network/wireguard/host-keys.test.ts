import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import * as fc from "fast-check";
import type { Log } from "#proto/ports.ts";
import { silentLog, systemRandom } from "#proto/system-ports.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { systemExec } from "#agent/exec.ts";
import { announce, parseAnnounced } from "./announced-key.ts";
import { HostKeys, isKey, parseKeys, publicKeyOf, serializeKeys } from "./host-keys.ts";

const modules = { clock: new FakeClock(), random: systemRandom, log: silentLog };

async function folder() {
  const path = await mkdtemp(join(tmpdir(), "host-keys-"));
  return {
    file: join(path, "encryption/keys.json"),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true }),
  };
}

test("HostKeys, the public key is the one that wg makes of the private one", async () => {
  await using place = await folder();
  const { inUse } = await HostKeys.open(place.file, modules);
  const raw = `${place.file}.raw`;
  await writeFile(raw, `${inUse.privateKey}\n`, { mode: 0o600 });
  const { stdout } = await systemExec.run("sh", ["-c", 'wg pubkey < "$0"', raw]);
  assert.equal(stdout.trim(), inUse.publicKey);
});

test("HostKeys, are for root alone and the same when they are opened again", async () => {
  await using place = await folder();
  const keys = await HostKeys.open(place.file, modules);
  await keys.renew(3);
  assert.equal((await stat(place.file)).mode & 0o777, 0o600);
  const again = await HostKeys.open(place.file, modules);
  assert.deepEqual([again.inUse, again.next], [keys.inUse, keys.next]);
  await again.promote();
  const last = await HostKeys.open(place.file, modules);
  assert.deepEqual([last.inUse, last.next], [keys.next, undefined]);
  assert.equal(last.inUse.rotation, 3);
  assert(!(await readFile(place.file, "utf8")).includes(keys.inUse.privateKey));
});

test("HostKeys, a damaged file is replaced, and nothing of it is logged", async () => {
  await using place = await folder();
  const keys = await HostKeys.open(place.file, modules);
  const half = serializeKeys(keys).slice(0, -20);
  await writeFile(place.file, half);
  const lines: string[] = [];
  const note = (message: string, fields?: object) =>
    void lines.push(message + JSON.stringify(fields ?? {}));
  const log: Log = { debug: note, info: note, warn: note, error: note, child: () => log };
  const fresh = await HostKeys.open(place.file, { ...modules, log });
  assert.notEqual(fresh.inUse.publicKey, keys.inUse.publicKey);
  assert.equal(lines.length, 1);
  assert(!lines[0]?.includes(keys.inUse.privateKey.slice(0, 8)));
});

test("parseKeys, reads what serializeKeys wrote and refuses anything else", () => {
  const key = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => {
    const privateKey = Buffer.from(bytes).toString("base64");
    return { privateKey, publicKey: publicKeyOf(privateKey), madeAtMs: 7, rotation: 1 };
  });
  fc.assert(
    fc.property(key, fc.option(key, { nil: undefined }), (inUse, next) => {
      const keys = { inUse, next };
      assert.deepEqual(parseKeys(serializeKeys(keys)), keys);
    }),
    { numRuns: 20 },
  );
  fc.assert(
    fc.property(fc.json(), (text) => {
      assert.throws(() => parseKeys(text));
    }),
  );
});

test("parseAnnounced, gives back what was announced, and of anything else nothing but keys", () => {
  const [inUse, next] = ["a", "b"].map((name) => ({ publicKey: `${name.padEnd(42, "0")}A=` }));
  assert(inUse !== undefined && next !== undefined);
  const whole = { privateKey: "", madeAtMs: 0, rotation: 0 };
  const both = { inUse: { ...whole, ...inUse }, next: { ...whole, ...next } };
  assert.deepEqual(parseAnnounced(announce(both)), {
    inUse: inUse.publicKey,
    next: next.publicKey,
  });
  const part = fc.oneof(fc.string(), fc.constantFrom(inUse.publicKey, next.publicKey, " "));
  fc.assert(
    fc.property(fc.array(part), (parts) => {
      const announced = parseAnnounced(parts.join(""));
      if (announced === undefined) return;
      assert(isKey(announced.inUse));
      assert(announced.next === undefined || isKey(announced.next));
    }),
  );
});
