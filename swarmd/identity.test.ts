import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { type Identity, readIdentity, writeIdentity } from "./identity.ts";

const identity: Identity = {
  nodeId: "node",
  clusterId: "cluster",
  number: 3,
  role: "worker",
  managers: ["192.0.2.1:2377", "192.0.2.2:2377"],
  dataPathAddress: "192.0.2.3",
  listenAddress: "",
  advertiseAddress: "192.0.2.3:2377",
};

function pathIn(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "swarm-identity-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return join(folder, "data", "node.json");
}

test("identity, comes back as it was written, and is root's alone", async (t) => {
  const path = pathIn(t);
  assert.equal(await readIdentity(path), undefined);
  await writeIdentity(path, identity);
  await writeIdentity(path, { ...identity, managers: [] });
  assert.deepEqual(await readIdentity(path), { ...identity, managers: [] });
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.deepEqual(await readdir(dirname(path)), ["node.json"]);
});

test("identity, a write that fails half-way leaves the old one", async (t) => {
  const path = pathIn(t);
  await writeIdentity(path, identity);
  await writeFile(`${path}.new`, '{"nodeId": "torn');
  assert.deepEqual(await readIdentity(path), identity);
  await writeIdentity(path, { ...identity, number: 4 });
  assert.equal((await readIdentity(path))?.number, 4);
  await mkdir(`${path}.new`);
  await assert.rejects(writeIdentity(path, { ...identity, number: 5 }), { code: "EISDIR" });
  assert.equal((await readIdentity(path))?.number, 4);
});

test("identity, what is damaged is refused with its path and why", async (t) => {
  const path = pathIn(t);
  await writeIdentity(path, identity);
  const without = (key: keyof Identity) => ({ ...identity, [key]: undefined });
  const damages: readonly (readonly [unknown, RegExp])[] = [
    ["", /it is not JSON; put/],
    ['{"nodeId": "to', /it is not JSON; put/],
    ["null", /"nodeId" is missing; put/],
    ["[]", /"nodeId" is missing; put/],
    [without("clusterId"), /"clusterId" is missing; put/],
    [{ ...identity, role: "king" }, /"role" is neither manager nor worker; put/],
    [{ ...identity, number: "3" }, /"number" is not an integer; put/],
    [{ ...identity, managers: "192.0.2.1" }, /"managers" is not a list of addresses; put/],
    [{ ...identity, managers: [1] }, /"managers" is not a list of addresses; put/],
  ];
  for (const [content, message] of damages) {
    await writeFile(path, typeof content === "string" ? content : JSON.stringify(content));
    await assert.rejects(readIdentity(path), (thrown) => {
      assert(thrown instanceof Fault);
      assert.equal(thrown.code, "data-loss");
      assert(thrown.message.startsWith(`Cannot use the node's identity in "${path}": `));
      assert.match(thrown.message, message);
      return true;
    });
  }
});

test("identity, a file of a version without certificates is refused with what to do", async (t) => {
  const path = pathIn(t);
  await writeIdentity(path, identity);
  await writeFile(path, JSON.stringify({ ...identity, nodeSecret: "old" }));
  await assert.rejects(readIdentity(path), {
    code: "failed-precondition",
    message: /it is of a version without certificates; move it and the folder "manager" .* join/,
  });
});

test("identity, any file gives an identity or a Fault", async (t) => {
  const path = pathIn(t);
  await writeIdentity(path, identity);
  const property = fc.asyncProperty(fc.oneof(fc.string(), fc.json()), async (text) => {
    await writeFile(path, text);
    await assert.rejects(readIdentity(path), (thrown) => thrown instanceof Fault);
  });
  await fc.assert(property, { numRuns: 50 });
});
