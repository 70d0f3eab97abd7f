/** Looking into containers through a manager that is not their node: commands, files, ports; and what is left of it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { signalInside } from "#lab/box.ts";
import { ClusterView } from "#lab/cluster-view.ts";
import type { Host } from "#lab/host.ts";
import { Lab } from "#lab/lab.ts";
import { waitFor } from "#lab/wait.ts";

const waitMs = 30_000;
const timeout = 60_000;

let lab: Lab;
let manager: Host;
let view: ClusterView;
/** A task on the worker. */
let taskId: string;

before(async () => {
  lab = await Lab.up({
    name: "execs",
    managers: 2,
    workers: 1,
    images: ["busybox"],
    ownedByThisProcess: true,
  });
  manager = lab.host("h1");
  view = await ClusterView.open(manager);
  const flags = ["-d", "--name", "web", "--replicas", "3", "--stop-grace-period", "1s"];
  const command = ["sh", "-c", "busybox nc -ll -p 7000 -e cat & sleep 100000"];
  const words = ["service", "create", ...flags, "registry:5000/busybox:1", ...command];
  await manager.run("swarmctl", words);
  await view.until("web to run", () => view.running("web").length === 3, waitMs);
  const rows = await manager.run("swarmctl", ["service", "ps", "--no-trunc", "web"]);
  const row = rows.split("\n").find((line) => / h3 /.test(line));
  taskId = row?.split(" ")[0] ?? "";
  assert.equal(taskId.length, 25);
});

after(async () => {
  view?.[Symbol.dispose]();
  await lab?.down();
});

test("exec, a terminal through a manager that is not the task's node", { timeout }, async () => {
  const inside = "busybox stty size; test -t 0 && echo on a terminal; exit 3";
  const line = `stty rows 33 cols 77; swarmctl exec -it ${taskId} sh -c '${inside}'`;
  // It waits for its own input to end.
  const script = 'exec script -qec "$1" /dev/null < /dev/null';
  const { status, stdout } = await manager.exec("sh", ["-c", script, "sh", line]);
  assert.match(stdout, /33 77\r\non a terminal\r\n/);
  assert.equal(status, 3);
  const missing = await lab.host("h2").exec("swarmctl", ["exec", taskId, "nosuch"]);
  assert.equal(missing.status, 127);
  assert.match(missing.stderr, /Cannot run "nosuch"/);
});

test("cp, a folder goes there and comes back", { timeout }, async () => {
  const folder = join(manager.dataRoot, "files");
  mkdirSync(join(folder, "sub"), { recursive: true });
  writeFileSync(join(folder, "sub/one"), "1\n");
  await manager.run("swarmctl", ["cp", "/var/lib/swarm/files", `${taskId}:/tmp/there`]);
  await manager.run("swarmctl", ["cp", `${taskId}:/tmp/there`, "/var/lib/swarm/back"]);
  assert.equal(readFileSync(join(manager.dataRoot, "back/sub/one"), "utf8"), "1\n");
});

test("exec, a process ends with the client that ran it", { timeout }, async () => {
  const client = manager.spawn("swarmctl", ["exec", taskId, "sleep", "4242"], { stdio: "ignore" });
  const runs = async () => {
    const { stdout } = await lab.host("h3").exec("pgrep", ["-f", "^sleep 4242"]);
    return stdout.trim() !== "";
  };
  await waitFor("the process to run", runs, { timeoutMs: waitMs });
  signalInside(client, "SIGKILL");
  await waitFor("the process to end", async () => !(await runs()), { timeoutMs: waitMs });
});

test("port-forward, a port of the task answers on the user's host", { timeout }, async () => {
  const forward = manager.spawn("swarmctl", ["port-forward", taskId, "7070:7000"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  assert(forward.stdout !== null);
  let said = "";
  forward.stdout.on("data", (piece: Buffer) => {
    said += piece.toString();
  });
  await waitFor("the port", () => said.includes("127.0.0.1:7070 leads to port 7000"), {
    timeoutMs: waitMs,
  });
  const answer = await manager.run("sh", ["-c", "echo hello | busybox nc -w 5 127.0.0.1 7070"]);
  assert.equal(answer, "hello\n");
  const ended = once(forward, "exit");
  signalInside(forward, "SIGINT");
  await ended;
});
