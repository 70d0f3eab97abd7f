import assert from "node:assert/strict";
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemClock } from "#proto/system-ports.ts";
import { systemExec } from "../exec.ts";
import { Runc } from "./runc.ts";

test("Runc.start, the fifo: its name is gone before the container says that it runs", async () => {
  using cleanup = new DisposableStack();
  const root = mkdtempSync(join(tmpdir(), "swarm-runc-"));
  cleanup.defer(() => rmSync(root, { recursive: true }));
  const fifo = join(root, "one", "exec.fifo");
  mkdirSync(join(root, "one"));
  await systemExec.run("mkfifo", [fifo]);
  // As the container's first process, though without waiting for a reader.
  const container = openSync(fifo, constants.O_RDWR);
  cleanup.defer(() => closeSync(container));
  const runc = new Runc({ command: "runc", root }, { exec: systemExec, clock: systemClock });
  const started = runc.start("one");
  assert.equal(existsSync(fifo), false);
  writeSync(container, "0");
  await started;
});
