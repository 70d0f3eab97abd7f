import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { foundManager, ManagerGround } from "#manager/testing/manager-process.ts";
import { untilSeen } from "#proto/testing/until.ts";
import { runCli } from "#swarmctl/testing/run-cli.ts";

test("events, a manager tells what happened a while ago, in order, and nothing of what files hold", async (t) => {
  const ground = await ManagerGround.prepare(t);
  const manager = await foundManager(t, ground);
  await manager.ready;
  const place = { runRoot: join(ground.folder, "run") };
  const run = async (line: string, stdin = "") => {
    const { code, stdout, stderr } = await runCli(place, line.split(" "), { stdin });
    assert.equal(code, 0, stderr);
    return stdout;
  };
  await run("config create --label tier=a motd -", "what it holds");
  await run("service create -d --no-resolve-image --name web --constraint node.id==none busybox:1");
  const past = "events --since 10m --until 0s";
  const waits = () => run(`${past} --filter event=wait --filter task=web.1`);
  await untilSeen(async () => (await waits()).includes("reason=no suitable node"));
  await run("service scale -d web=2");
  await run("service rm web");
  await run("config rm motd");
  const format = "{{.Type}};{{.Action}};{{.Actor.Attributes.name}}";
  const told = await run(`${past} --filter type=service --format ${format}`);
  assert.deepEqual(told.trim().split("\n"), [
    "service;create;web",
    "service;update;web",
    "service;remove;web",
  ]);
  const all = await run(past);
  assert.match(all, / config create \w+ \(name=motd\)\n/);
  assert.match(all, / task wait \w+ \(name=web\.1, reason=no suitable node /);
  assert.match(all, / config remove \w+ \(name=motd\)\n/);
  assert.ok(!all.includes("what it holds"));
});
