import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { Fault } from "#proto/fault.ts";
import type { ManagerStart, TlsIdentity } from "#proto/manager-messages.ts";
import { silentLog } from "#proto/system-ports.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { until } from "#proto/testing/until.ts";
import { type Issued, ManagerProcess, type ManagerProcessOptions } from "./manager-process.ts";

const timeout = 20_000;

/** A manager that is a few lines of script, under a clock that the test moves. */
class Ground implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "swarm-manager-process-"));
  readonly #starts = join(this.#folder, "starts");
  readonly compileCache = join(this.#folder, "compiled");
  readonly args = [this.#starts];
  readonly clock = new FakeClock();
  readonly complaints: { why: string; pauseMs: number }[] = [];
  readonly manager: ManagerProcess;

  constructor(script: string, options: Partial<ManagerProcessOptions> = {}) {
    const main = join(this.#folder, "main.cjs");
    writeFileSync(this.#starts, "");
    const note = `require("node:fs").appendFileSync(process.argv[2], process.pid + "\\n");`;
    writeFileSync(main, `${note}\n${script}`);
    const error = (_message: string, fields?: unknown) =>
      void this.complaints.push(fields as { why: string; pauseMs: number });
    this.manager = new ManagerProcess(
      {
        main,
        args: this.args,
        compileCache: this.compileCache,
        start: () => ({ how: "resume" }),
        ...options,
      },
      { clock: this.clock, log: { ...silentLog, error } },
    );
  }

  get pids(): number[] {
    return readFileSync(this.#starts, "utf8").trim().split("\n").filter(Boolean).map(Number);
  }

  /** What the manager was told, in order. */
  get begins(): readonly unknown[] {
    const path = `${this.#starts}.begins`;
    if (!existsSync(path)) return [];
    return readFileSync(path, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pid of this.pids) if (isAlive(pid)) process.kill(pid, "SIGKILL");
    await this.manager[Symbol.asyncDispose]();
    rmSync(this.#folder, { recursive: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

const serve = `console.log('{"kind":"ready"}'); setInterval(() => {}, 1000);`;

test("manager process, is ready when it says so, and ends with the daemon", {
  timeout,
}, async () => {
  await using ground = new Ground(`process.on("SIGTERM", () => process.exit(0)); ${serve}`);
  await ground.manager.ready;
  const [pid = 0] = ground.pids;
  assert(isAlive(pid));
  await ground.manager[Symbol.asyncDispose]();
  assert(!isAlive(pid));
  assert.deepEqual(ground.complaints, []);
});

test("manager process, an end before it serves is told in its own words", { timeout }, async () => {
  await using ground = new Ground(
    `console.error("first"); console.error("no luck"); process.exit(1);`,
  );
  const thrown = await ground.manager.ready.catch((error: unknown) => error);
  assert(thrown instanceof Fault);
  assert.equal(thrown.code, "unavailable");
  assert.equal(thrown.message, "the manager ended: status 1: no luck");
});

test("manager process, keeps what Node compiles where it is told to", { timeout }, async (t) => {
  const { NODE_COMPILE_CACHE: named } = process.env;
  delete process.env["NODE_COMPILE_CACHE"];
  t.after(() => {
    if (named !== undefined) process.env["NODE_COMPILE_CACHE"] = named;
  });
  await using ground = new Ground(
    `console.error(require("node:module").getCompileCacheDir()); process.exitCode = 7;`,
  );
  await until(() => ground.complaints.length === 1);
  assert.ok(ground.complaints[0]?.why.startsWith(`status 7: ${ground.compileCache}`));
});

test("manager process, one that does not serve in time is killed", { timeout }, async () => {
  await using ground = new Ground("setInterval(() => {}, 1000);");
  await until(() => ground.pids.length === 1);
  ground.clock.advance(180_000);
  await assert.rejects(ground.manager.ready, { message: "the manager did not serve within 180 s" });
  await until(() => ground.complaints.length === 1);
  assert.equal(ground.complaints[0]?.why, "SIGKILL: it said nothing");
});

test("manager process, is started again with growing pauses", { timeout }, async () => {
  await using ground = new Ground(
    `console.log('{"kind":"ready"}'); console.error("fell over"); process.exitCode = 7;`,
  );
  for (const pauseMs of [100, 200, 400]) {
    const starts = ground.pids.length;
    await until(() => ground.complaints.length > 0);
    assert.deepEqual(ground.complaints.splice(0), [{ why: "status 7: fell over", pauseMs }]);
    ground.clock.advance(pauseMs - 1);
    await turn();
    assert.equal(ground.pids.length, Math.max(starts, 1));
    ground.clock.advance(1);
    await until(() => ground.pids.length === Math.max(starts, 1) + 1);
  }
});

test("manager process, why it ended is told until it serves again", { timeout }, async () => {
  const starts = `require("node:fs").readFileSync(process.argv[2], "utf8").split("\\n").length`;
  await using ground = new Ground(
    `if (${starts} > 2) { ${serve} } else { console.error("manager: the log is damaged"); process.exitCode = 1; }`,
  );
  await until(() => ground.complaints.length === 1);
  assert.equal(ground.manager.problem, "the log is damaged");
  ground.clock.advance(100);
  await until(() => ground.manager.problem === "");
  assert.equal(ground.complaints.length, 1);
});

test("manager process, one that served long is started again soon", { timeout }, async () => {
  await using ground = new Ground(serve);
  await ground.manager.ready;
  for (let time = 0; time < 2; time++) {
    await until(() => ground.pids.length === time + 1);
    // The ready line was seen when the time that it serves begins to count.
    if (time === 0) ground.clock.advance(10_000);
    process.kill(ground.pids[time] ?? 0, "SIGKILL");
    await until(() => ground.complaints.length === time + 1);
    assert.equal(ground.complaints[time]?.pauseMs, time === 0 ? 100 : 200);
    ground.clock.advance(200);
  }
});

test("manager process, one that does not end by itself is killed", { timeout }, async () => {
  await using ground = new Ground(`process.on("SIGTERM", () => {}); ${serve}`);
  await ground.manager.ready;
  const ended = ground.manager[Symbol.asyncDispose]();
  ground.clock.advance(10_000);
  await ended;
  assert(!isAlive(ground.pids[0] ?? 0));
});

test("manager process, is not started again once the daemon stops", { timeout }, async () => {
  await using ground = new Ground("process.exit(1)");
  await until(() => ground.complaints.length === 1);
  await ground.manager[Symbol.asyncDispose]();
  ground.clock.advance(60_000);
  await turn();
  assert.equal(ground.pids.length, 1);
});

/** What the manager is told first is written to the file of starts, a line each. */
const noteBegin = `
  const lines = require("node:readline").createInterface({ input: process.stdin });
  const note = (text) => require("node:fs").appendFileSync(process.argv[2] + ".begins", text + "\\n");
  const say = (message) => console.log(JSON.stringify(message));
  lines.on("close", () => process.exit(0));`;

const identity: TlsIdentity = { certificate: "cert", key: "key", caCertificates: "roots" };

test("manager process, is told how to start, who it is and its key first", {
  timeout,
}, async () => {
  let start: ManagerStart = { how: "join", managers: ["192.0.2.1:2377"] };
  const script = `${noteBegin} lines.on("line", (line) => { note(line); say({ kind: "ready" }); });`;
  await using ground = new Ground(script, { start: () => start, identity, unlockKey: "K1" });
  await ground.manager.ready;
  const first = { kind: "begin", start, identity, unlockKey: "K1" };
  assert.deepEqual(ground.begins, [first]);
  const renewed = { ...identity, certificate: "renewed" };
  ground.manager.replaceIdentity(renewed);
  await until(() => ground.begins.length === 2);
  assert.deepEqual(ground.begins[1], { kind: "identity", identity: renewed });
  start = { how: "resume" };
  process.kill(ground.pids[0] ?? 0, "SIGKILL");
  await until(() => ground.complaints.length === 1);
  ground.clock.advance(100);
  await until(() => ground.begins.length === 3);
  assert.deepEqual(ground.begins[2], { ...first, start, identity: renewed });
});

test("manager process, completes what it issues, and keeps the key that it tells", {
  timeout,
}, async () => {
  const issued = { clusterId: "c1", certificate: "cert", caCertificates: "roots" };
  const script = `${noteBegin} lines.on("line", (line) => {
    note(line);
    if (JSON.parse(line).kind === "begin") {
      console.log("garbage");
      console.log('{"kind":"unlock-key"}');
      say({ kind: "issued", ...${JSON.stringify(issued)} });
    } else { say({ kind: "unlock-key", unlockKey: "K2" }); say({ kind: "ready" }); }
  });`;
  const complete = ({ certificate, caCertificates }: Issued) => ({
    certificate,
    caCertificates,
    key: "own",
  });
  await using ground = new Ground(script, { complete });
  await ground.manager.ready;
  const own = { ...identity, key: "own" };
  assert.deepEqual(ground.begins[1], { kind: "identity", identity: own });
  const keys: string[] = [];
  ground.manager.onUnlockKey((key) => void keys.push(key));
  assert.deepEqual(keys, ["K2"]);
  assert.equal(ground.manager.unlockKey, "K2");
  process.kill(ground.pids[0] ?? 0, "SIGKILL");
  await until(() => ground.complaints.length === 1);
  ground.clock.advance(100);
  await until(() => ground.begins.length === 3);
  assert.deepEqual(ground.begins[2], {
    kind: "begin",
    start: { how: "resume" },
    identity: own,
    unlockKey: "K2",
  });
});

for (const end of ["locked", "removed"] as const) {
  test(`manager process, is not started again once it is ${end}`, { timeout }, async () => {
    await using ground = new Ground(
      `console.log('{"kind":"${end}"}'); setInterval(() => {}, 1000);`,
    );
    await assert.rejects(ground.manager.ready, {
      code: end === "locked" ? "permission-denied" : "failed-precondition",
    });
    assert.equal(await ground.manager.ended, end);
    assert.deepEqual(ground.complaints, []);
    assert.equal(ground.pids.length, 1);
  });
}

test("manager process, one that is removed after it served ends", { timeout }, async () => {
  const script = `process.on("SIGUSR2", () => {
    console.log('{"kind":"removed"}');
    process.exitCode = 0;
    clearInterval(busy);
  });
  const busy = setInterval(() => {}, 1000);
  console.log('{"kind":"ready"}');`;
  await using ground = new Ground(script);
  await ground.manager.ready;
  process.kill(ground.pids[0] ?? 0, "SIGUSR2");
  assert.equal(await ground.manager.ended, "removed");
});

test("manager process, other arguments: told to the one that runs, and given to the next", {
  timeout,
}, async () => {
  const script = `
    const { appendFileSync } = require("node:fs");
    const path = process.argv[2] + ".told";
    appendFileSync(path, "started " + process.argv.slice(3).join() + "\\n");
    process.stdin.on("data", (chunk) => {
      // It comes with what was told before where it is read late.
      const line = String(chunk).split("\\n").find((one) => one.includes("settings"));
      if (line !== undefined) { appendFileSync(path, line + "\\n"); process.exit(1); }
    });
    console.log(JSON.stringify({ kind: "ready" }));`;
  await using ground = new Ground(script);
  await ground.manager.ready;
  const [starts = ""] = ground.args;
  const told = () => readFileSync(`${starts}.told`, "utf8").trim().split("\n");
  ground.manager.configure([starts, "--log-level=debug"]);
  await until(() => ground.complaints.length === 1);
  ground.clock.advance(100);
  await until(() => ground.pids.length === 2 && told().length === 3);
  const args = [starts, "--log-level=debug"];
  assert.deepEqual(told().slice(1), [
    JSON.stringify({ kind: "settings", args }),
    "started --log-level=debug",
  ]);
});
