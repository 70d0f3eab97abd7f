/** The real conmon, with a journal of the test's own where the host's would be. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { until } from "#proto/testing/until.ts";
import { type Exec, systemExec } from "../exec.ts";
import { ScriptTask } from "./testing/script-task.ts";

/** Node has no datagram sockets of this kind. */
const receiver = `use Socket; socket(S,AF_UNIX,SOCK_DGRAM,0); bind(S,sockaddr_un($ARGV[0])) or die;
$| = 1; print "ready\\n"; while (defined recv(S,$b,100000,0)) { print "$b\\n"; }`;

/** In a mount namespace in which the folder is the journal's. */
const script =
  'mount -t tmpfs run /run && mkdir -p /run/systemd/journal && mount --bind "$1" /run/systemd/journal && shift && exec unshare "$@"';

test("journald, a container's lines: in the journal with Docker's fields, and in the task's folder", {
  timeout: 20_000,
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), "swarm-journal-"));
  mkdirSync(join(folder, "journal"));
  const socket = join(folder, "journal", "socket");
  const child = spawn("perl", ["-e", receiver, socket], { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString("latin1")));
  await until(() => said.startsWith("ready"));
  const start: Exec["start"] = (_command, args, options) => {
    const inside = ["--mount", "sh", "-c", script, "sh", join(folder, "journal"), ...args];
    return systemExec.start("unshare", inside, options);
  };
  using task = new ScriptTask("echo one; echo two >&2", { ...systemExec, start });
  const file = ["--log-path", "k8s-file:log", "--log-size-max", "1000000"];
  await task.start(...file, "--log-path", "journald:", "--log-tag", "web.1");
  await until(() => said.includes("two"));
  child.kill();
  rmSync(folder, { recursive: true });
  assert.match(said, /one\n/);
  assert.match(said, /CONTAINER_TAG=web\.1\n/);
  assert.match(said, new RegExp(`CONTAINER_ID_FULL=${task.taskId}\n`));
  assert.match(said, /PRIORITY=3\n/);
  assert.match(said, /PRIORITY=6\n/);
  assert.deepEqual((await task.texts()).toSorted(), ["one", "two"]);
});
