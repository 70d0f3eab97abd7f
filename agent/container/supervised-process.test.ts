import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { newId } from "#proto/ids.ts";
import { systemRandom } from "#proto/system-ports.ts";
import { untilSeen } from "#proto/testing/until.ts";
import { isConmonAlive, isContainerAlive } from "./supervised-process.ts";

/** Calls itself conmon and has the task's ID among its arguments. */
function startLookalike(taskId: string) {
  return spawn("sh", ["-c", "echo up; read x", taskId], {
    argv0: "conmon",
    stdio: ["pipe", "pipe", "ignore"],
  });
}

function cgroupOf(taskId: string): string {
  const root = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].find((path) => existsSync(path)) ?? "";
  return join(root, taskId);
}

test("isConmonAlive, a lookalike: outside of the container's cgroup only", async () => {
  const taskId = newId(systemRandom);
  const child = startLookalike(taskId);
  const ended = once(child, "exit");
  const folder = cgroupOf(taskId);
  mkdirSync(folder);
  try {
    await once(child.stdout, "data");
    const pid = child.pid ?? 0;
    assert.equal(isConmonAlive(pid, taskId), true);
    assert.equal(isConmonAlive(pid, newId(systemRandom)), false);
    assert.equal(isContainerAlive(pid, taskId), false);
    writeFileSync(join(folder, "cgroup.procs"), `${pid}`);
    assert.equal(isConmonAlive(pid, taskId), false);
    assert.equal(isContainerAlive(pid, taskId), true);
  } finally {
    child.kill("SIGKILL");
    await ended;
    await untilSeen(() => removed(folder));
  }
  assert.equal(isConmonAlive(child.pid ?? 0, taskId), false);
});

/** The kernel lets go of a process that ended a moment later. */
function removed(folder: string): boolean {
  try {
    rmdirSync(folder);
    return true;
  } catch {
    return false;
  }
}
