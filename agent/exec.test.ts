import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { Fault } from "#proto/fault.ts";
import { systemExec } from "./exec.ts";

const timeout = 20_000;

async function faultOf(work: Promise<unknown>): Promise<Fault> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  assert(thrown instanceof Fault, `a Fault, not ${String(thrown)}`);
  return thrown;
}

function sh(script: string, options: Parameters<typeof systemExec.run>[2] = {}) {
  return systemExec.run("sh", ["-c", script], options);
}

test("run, gives both outputs, passes input, folder and environment", { timeout }, async () => {
  const { stdout, stderr } = await sh("cat; pwd; echo $X >&2", {
    input: "in\n",
    cwd: "/",
    env: { X: "x" },
  });
  assert.equal(stdout, "in\n/\n");
  assert.equal(stderr, "x\n");
});

test("run, a status that is not 0 is a fault with the program's words", { timeout }, async () => {
  const loud = await faultOf(sh("echo no luck >&2; exit 3"));
  assert.equal(loud.message, '"sh" failed with status 3: no luck');
  assert.equal(loud.code, "internal");
  assert.equal((await faultOf(sh("echo out; exit 1"))).message, '"sh" failed with status 1: out');
  assert.match((await faultOf(sh("exit 1"))).message, /it said nothing$/);
});

test("run, death by a signal names the signal", { timeout }, async () => {
  const fault = await faultOf(sh("echo bye >&2; kill -SEGV $$"));
  assert.equal(fault.message, '"sh" was killed by SIGSEGV: bye');
});

test("run, a missing program is told at once", { timeout }, async () => {
  const fault = await faultOf(systemExec.run("/nosuch/program", []));
  assert.equal(fault.code, "not-found");
  assert.match(fault.message, /^Cannot run "\/nosuch\/program": /);
});

test("run, arguments that no process can have are a fault", { timeout }, async () => {
  const fault = await faultOf(systemExec.run("true", ["a\0b"]));
  assert.match(fault.message, /^Cannot run "true": /);
});

test("run, nothing keeps the process alive after a missing program", { timeout }, async () => {
  const module = JSON.stringify(new URL("./exec.ts", import.meta.url).href);
  const script = `
    const { systemExec } = await import(${module});
    await systemExec.run("/nosuch/program", []).catch(() => {});
    await systemExec.run("true", []);`;
  const args = ["--input-type=module", "--eval", script];
  // Killed, and so a failure, well before the 30 s that a run may take.
  await promisify(execFile)(process.execPath, args, { timeout: 15_000, killSignal: "SIGKILL" });
});

test("run, a program that does not read its input may succeed", { timeout }, async () => {
  const { stdout } = await sh("exec 0<&-; echo fine", { input: Buffer.alloc(4 << 20) });
  assert.equal(stdout, "fine\n");
});

test("run, a program that is late is killed", { timeout }, async () => {
  const fault = await faultOf(sh("exec sleep 1000", { timeoutMs: 50 }));
  assert.equal(fault.code, "deadline-exceeded");
  assert.equal(fault.message, '"sh" did not end within 0.05 s and was killed');
});

test("run, a late program's children that hold its output do not delay", { timeout }, async () => {
  const folder = await mkdtemp(join(tmpdir(), "swarm-exec-"));
  try {
    const held = join(folder, "held");
    // The child ends when the test removes the folder's file.
    const child = `(touch ${held}; while [ -e ${held} ]; do sleep 0.05; done) & wait`;
    const fault = await faultOf(sh(child, { timeoutMs: 500 }));
    assert.equal(fault.code, "deadline-exceeded");
    assert(existsSync(held), "the child is still there");
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("run, an abort kills the program and is seen when it is gone", { timeout }, async () => {
  const abort = new AbortController();
  const folder = await mkdtemp(join(tmpdir(), "swarm-exec-"));
  try {
    const running = sh("echo $$; exec sleep 1000", { signal: abort.signal });
    abort.abort(new Error("enough"));
    const fault = await faultOf(running);
    assert.equal(fault.code, "canceled");
    assert.equal(fault.message, '"sh" was stopped before it ended');
    assert.equal((fault.cause as Error).message, "enough");
    const early = await faultOf(sh(`touch ${folder}/ran`, { signal: abort.signal }));
    assert.equal(early.code, "canceled");
    assert(!existsSync(join(folder, "ran")), "an aborted signal starts nothing");
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("run, more output than anybody can want is refused", { timeout }, async () => {
  const fault = await faultOf(systemExec.run("cat", ["/dev/zero"]));
  assert.equal(fault.code, "resource-exhausted");
  assert.equal(fault.message, '"cat" printed more than 64 MiB and was killed');
});

test("run, leaves no listener on the caller's signal", { timeout }, async () => {
  const { signal } = new AbortController();
  let listeners = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++;
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners--;
    remove(...args);
  };
  await sh("exit 0", { signal });
  await faultOf(sh("exit 1", { signal }));
  await faultOf(systemExec.run("/nosuch/program", [], { signal }));
  assert.equal(listeners, 0);
});
