/** The real conmon, with a runtime that hangs. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { newId } from "#proto/ids.ts";
import { systemClock, systemRandom } from "#proto/system-ports.ts";
import { systemExec } from "../exec.ts";
import { type ConmonOptions, killConmon, startConmon } from "./conmon.ts";
import { overlayOptions } from "./rootfs.ts";
import { isConmonAlive, readPid } from "./supervised-process.ts";

const timeout = 15_000;

/** A task whose runtime writes down its process and does nothing more. */
class HangingTask implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "swarm-conmon-"));
  readonly options: ConmonOptions;

  constructor() {
    for (const name of ["l/0", "1/upper", "1/work", "1/rootfs", "exits"]) {
      mkdirSync(join(this.folder, name), { recursive: true });
    }
    const runtime = join(this.folder, "runtime");
    const script = `#!/bin/sh\necho $$ >${this.folder}/creating\nexec sleep 60\n`;
    writeFileSync(runtime, script, { mode: 0o755 });
    this.options = {
      taskId: newId(systemRandom),
      taskFolder: this.folder,
      attempt: "1",
      overlay: overlayOptions(1, "1"),
      runtime,
      runtimeRoot: join(this.folder, "runc"),
      exitsFolder: join(this.folder, "exits"),
      logFlags: ["--log-path", "none"],
      terminal: false,
      stdin: false,
    };
  }

  [Symbol.dispose](): void {
    killConmon(this.options.taskId, join(this.folder, "1"));
    rmSync(this.folder, { recursive: true });
  }
}

test("startConmon, a create that hangs: nothing of it is left at the deadline", {
  timeout,
}, async () => {
  using task = new HangingTask();
  const deadline = Promise.withResolvers<() => void>();
  const clock: typeof systemClock = {
    ...systemClock,
    timer: (_ms, callback) => {
      deadline.resolve(callback);
      return { [Symbol.dispose]: () => {} };
    },
  };
  const started = startConmon(task.options, { exec: systemExec, clock });
  const refused = assert.rejects(started, /was not created within 60 s/);
  const conmonFile = join(task.folder, "1", "conmon.pid");
  const runtimeFile = join(task.folder, "creating");
  while (readPid(conmonFile) === undefined || readPid(runtimeFile) === undefined) {
    await systemClock.sleep(5);
  }
  (await deadline.promise)();
  await refused;
  const conmon = readPid(conmonFile) ?? 0;
  const runtime = readPid(runtimeFile) ?? 0;
  while (isConmonAlive(conmon, task.options.taskId) || isSleeping(runtime)) {
    await systemClock.sleep(5);
  }
});

function isSleeping(pid: number): boolean {
  const path = `/proc/${pid}/cmdline`;
  return existsSync(path) && readFileSync(path, "utf8").startsWith("sleep");
}

test("startConmon, a program that is not there: a fault at once, and no timer left", async () => {
  using task = new HangingTask();
  let timers = 0;
  const clock: typeof systemClock = {
    ...systemClock,
    timer: () => {
      timers += 1;
      return { [Symbol.dispose]: () => void (timers -= 1) };
    },
  };
  const exec: typeof systemExec = {
    ...systemExec,
    start: (_command, args, options) => systemExec.start("/nowhere/unshare", args, options),
  };
  await assert.rejects(startConmon(task.options, { exec, clock }), /Cannot run "unshare"/);
  assert.equal(timers, 0);
});
