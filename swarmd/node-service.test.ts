import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Fault } from "#proto/fault.ts";
import { NodeService } from "#proto/gen/swarm/v1/node_pb.ts";
import { Connection, type Handlers } from "#proto/grpc.ts";
import { serveNode } from "./node-service.ts";

const timeout = 10_000;

const refuse = async () => {
  throw new Fault("unimplemented", "not part of this test");
};

const handlers = (version: string): Handlers<typeof NodeService> => ({
  initCluster: refuse,
  joinCluster: refuse,
  getInfo: async () => ({ version }),
});

async function askVersion(path: string): Promise<string> {
  using connection = new Connection(`unix:${path}`);
  return (await connection.service(NodeService).getInfo({})).version;
}

function pathIn(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "swarm-node-service-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return join(folder, "swarmd.sock");
}

test("node service, answers root alone, and leaves no socket", { timeout }, async (t) => {
  const path = pathIn(t);
  const umask = process.umask();
  {
    await using _service = await serveNode(path, handlers("one"));
    assert.equal(await askVersion(path), "one");
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.equal(process.umask(), umask);
  }
  assert(!existsSync(path));
});

test("node service, replaces the socket of one that was killed", { timeout }, async (t) => {
  const path = pathIn(t);
  // A listener in another process that is killed leaves its socket's file.
  const script = `require("node:net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
  spawnSync(process.execPath, ["--eval", script]);
  assert(existsSync(path));
  await using _service = await serveNode(path, handlers("two"));
  assert.equal(await askVersion(path), "two");
});

test("node service, does not take the socket of a living one", { timeout }, async (t) => {
  const path = pathIn(t);
  await using _service = await serveNode(path, handlers("one"));
  await assert.rejects(serveNode(path, handlers("two")), {
    code: "failed-precondition",
    message: `another swarmd serves on "${path}": stop it, or give this one another --run-root`,
  });
  assert.equal(await askVersion(path), "one");
});

test("node service, leaves a file that is not a socket alone", { timeout }, async (t) => {
  const path = pathIn(t);
  writeFileSync(path, "precious");
  await assert.rejects(serveNode(path, handlers("one")), { message: /is not a socket/ });
  assert.equal(readFileSync(path, "utf8"), "precious");
});

test("node service, a listener that says nothing counts as living", { timeout }, async (t) => {
  const path = pathIn(t);
  const silent = createServer();
  t.after(() => silent.close());
  await new Promise<void>((resolve) => void silent.listen(path, resolve));
  await assert.rejects(serveNode(path, handlers("one")), { code: "failed-precondition" });
});
