/** The manager as its parent sees it: a process that is told things, tells things, serves, and ends. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import { ClusterSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { Reachability } from "#proto/gen/swarm/v1/types_pb.ts";
import {
  foundManager,
  joinManager,
  ManagerGround,
  startManager,
} from "./testing/manager-process.ts";

test("manager, serves users on its socket and ends cleanly on SIGTERM", async (t) => {
  const ground = await ManagerGround.prepare(t);
  const { child, ready, end } = await foundManager(t, ground);
  await ready;
  assert.equal(statSync(ground.socket).mode & 0o777, 0o600);
  using users = ground.connect();
  const { nodes } = await users.service(ControlService).listNodes({});
  assert.deepEqual(
    nodes.map(({ number, managerStatus }) => [number, managerStatus?.leader]),
    [[1, true]],
  );
  child.kill("SIGTERM");
  assert.equal((await end).status, 0);
});

test("manager, takes up another log level and other registries while it runs", async (t) => {
  const ground = await ManagerGround.prepare(t);
  const { child, ready, end } = await foundManager(t, ground);
  await ready;
  const args = [`--advertise-address=${ground.address}`, "--log-level=error"];
  child.stdin?.end(`${JSON.stringify({ kind: "settings", args })}\n`);
  const { status, words } = await end;
  assert.equal(status, 0);
  assert.match(words, /The manager serves/);
  assert.doesNotMatch(words, /The manager ends/);
});

test("manager, killed it comes back with what it acknowledged, its stale socket replaced", async (t) => {
  const ground = await ManagerGround.prepare(t);
  const first = await foundManager(t, ground);
  await first.ready;
  using before = ground.connect();
  await before.service(ControlService).createNetwork({ spec: { annotations: { name: "net" } } });
  first.child.kill("SIGKILL");
  await first.end;
  assert.ok(existsSync(ground.socket));
  await startManager(t, ground).ready;
  using after = ground.connect();
  const { network } = await after.service(ControlService).getNetwork({ ref: "net" });
  assert.equal(network?.spec?.annotations?.name, "net");
});

test("manager, three of them are one group: a write through any is read at every other", async (t) => {
  const grounds = [
    await ManagerGround.prepare(t),
    await ManagerGround.prepare(t),
    await ManagerGround.prepare(t),
  ] as const;
  const [first, ...others] = grounds;
  await (await foundManager(t, first)).ready;
  for (const ground of others) await (await joinManager(t, ground, first)).ready;
  for (const [index, ground] of grounds.entries()) {
    using writer = ground.connect();
    const name = `net${index}`;
    await writer.service(ControlService).createNetwork({ spec: { annotations: { name } } });
    for (const reader of grounds) {
      using users = reader.connect();
      const { network } = await users.service(ControlService).getNetwork({ ref: name });
      assert.equal(network?.spec?.annotations?.name, name);
    }
  }
  using users = first.connect();
  const { nodes } = await users.service(ControlService).listNodes({});
  const reachable = nodes.map(({ managerStatus }) => managerStatus?.reachability);
  assert.deepEqual(
    reachable,
    nodes.map(() => Reachability.REACHABLE),
  );
});

test("manager, with autolock it does not open its files without the key", async (t) => {
  const ground = await ManagerGround.prepare(t);
  const spec = create(ClusterSpecSchema, { encryption: { autoLockManagers: true } });
  const first = await foundManager(t, ground, { spec });
  await first.ready;
  const { unlockKey } = ground;
  assert.match(unlockKey, /^SWMKEY-1-/);
  first.child.kill("SIGKILL");
  await first.end;
  ground.unlockKey = "";
  const second = startManager(t, ground);
  assert.equal((await second.end).status, 0);
  assert.deepEqual(second.told, [{ kind: "locked" }]);
  ground.unlockKey = unlockKey;
  await startManager(t, ground).ready;
});

test("manager, ends with its parent: when its stdin closes", async (t) => {
  const ground = await ManagerGround.prepare(t);
  const { child, ready, end } = await foundManager(t, ground);
  await ready;
  child.stdin?.end();
  const { status, words } = await end;
  assert.equal(status, 0);
  assert.match(words, /The manager ends .*the parent ended/);
});

test("manager, a founder whose parent ends before it has a certificate ends too", async (t) => {
  const ground = await ManagerGround.prepare(t);
  const { child, end } = await foundManager(t, ground);
  child.stdin?.end();
  assert.equal((await end).status, 0);
});

test("manager, ends cleanly also when nobody reads its log any more", async (t) => {
  const ground = await ManagerGround.prepare(t);
  const { child, ready, end } = await foundManager(t, ground);
  await ready;
  child.stdout?.destroy();
  child.stderr?.destroy();
  child.stdin?.end();
  assert.equal((await end).status, 0);
});

test("manager, a founder whose address leads elsewhere says so before anybody counts on it", async (t) => {
  const ground = await ManagerGround.prepare(t);
  const extraArgs = ["--advertise-address=127.0.0.1:1"];
  const { ready, end } = await foundManager(t, ground, { extraArgs });
  await assert.rejects(ready);
  const { status, lastLine } = await end;
  assert.equal(status, 1);
  assert.match(lastLine, /^manager: this manager is not reached at 127\.0\.0\.1:1, which it would/);
});

test("manager, a second one on the same data is refused", async (t) => {
  const ground = await ManagerGround.prepare(t);
  await (await foundManager(t, ground)).ready;
  const { status, lastLine } = await startManager(t, ground).end;
  assert.equal(status, 1);
  assert.match(lastLine, /^manager: Cannot open the log ".*log\.db": another process has it open/);
});

test("manager, an address in use is named", async (t) => {
  const ground = await ManagerGround.prepare(t);
  const [, port] = ground.address.split(":");
  const taken = createServer().listen(Number(port), "127.0.0.1");
  t.after(() => taken.close());
  await once(taken, "listening");
  const { status, lastLine } = await (await foundManager(t, ground)).end;
  assert.equal(status, 1);
  assert.equal(
    lastLine,
    `manager: Cannot listen on ${ground.address}: the address is in use; stop the program that has it, or choose another`,
  );
});

test("manager, a socket where another serves is not taken from it", async (t) => {
  const ground = await ManagerGround.prepare(t);
  await (await foundManager(t, ground)).ready;
  const other = await ManagerGround.prepare(t);
  const extraArgs = ["--run-root", join(ground.folder, "run")];
  const { status, lastLine } = await (await foundManager(t, other, { extraArgs })).end;
  assert.equal(status, 1);
  assert.match(lastLine, /another manager serves there; stop that one first/);
  assert.ok(existsSync(ground.socket));
});

test("manager, wrong usage is exit status 2", async (t) => {
  const ground = await ManagerGround.prepare(t);
  const { status, lastLine } = await startManager(t, ground, { extraArgs: ["--surprise"] }).end;
  assert.equal(status, 2);
  assert.match(lastLine, /see --help/);
});
