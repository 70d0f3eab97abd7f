import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { systemExec } from "#agent/exec.ts";
import { Fault } from "#proto/fault.ts";
import { silentLog, systemClock } from "#proto/system-ports.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { until, untilSeen } from "#proto/testing/until.ts";
import { ServiceManager } from "./service-manager.ts";
import { NotifySocket } from "./testing/notify-socket.ts";

test("service manager, systemd hears when it is ready, how it is, and that it stops", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "swarm-notify-"));
  t.after(() => rmSync(folder, { recursive: true }));
  using socket = await NotifySocket.listen(folder);
  const environment = {
    NOTIFY_SOCKET: socket.path,
    WATCHDOG_USEC: "30000000",
    WATCHDOG_PID: `${process.pid}`,
    PATH: process.env["PATH"],
    OTHER: "stays",
  };
  const modules = { exec: systemExec, clock: systemClock, log: silentLog };
  await using service = ServiceManager.take(environment, modules);
  assert.deepEqual(Object.keys(environment), ["PATH", "OTHER"]);
  await service.ready({ status: () => "all\nis well", complaint: () => undefined });
  await untilSeen(() => socket.told.includes("WATCHDOG=1"));
  assert.match(socket.told, /READY=1\nSTATUS=all is well/);
  await service.reloading();
  await service.reloaded();
  await service.stopping();
  await untilSeen(() => socket.told.includes("STOPPING=1"));
  assert.match(socket.told, /RELOADING=1[^]*READY=1[^]*STOPPING=1/);
});

/** A systemd that notes what it is told. */
function noted(watchdogUsec: string, fails = false) {
  const clock = new FakeClock();
  const said: string[] = [];
  const errors: string[] = [];
  const exec = {
    run: async (program: string, args: readonly string[]) => {
      if (fails) throw new Fault("internal", `"${program}" failed`);
      said.push(args.join(" "));
      return { stdout: "", stderr: "" };
    },
  };
  const log = {
    ...silentLog,
    warn: (message: string) => void errors.push(message),
    error: (message: string) => void errors.push(message),
  };
  const environment = { NOTIFY_SOCKET: "/run/notify", WATCHDOG_USEC: watchdogUsec };
  return { clock, said, errors, service: ServiceManager.take(environment, { exec, clock, log }) };
}

test("service manager, the watchdog is fed three times a period, and not by one that stands still", async () => {
  const { clock, said, errors, service } = noted("60000000");
  await using _service = service;
  let complaint: string | undefined;
  await service.ready({ status: () => "fine", complaint: () => complaint });
  const fed = () => said.filter((words) => words.includes("WATCHDOG=1")).length;
  const pass = async (ms: number) => {
    clock.advance(ms);
    await service.reloaded();
  };
  for (let second = 0; second < 60; second += 5) await pass(5_000);
  assert.equal(fed(), 4);
  complaint = "program the network";
  for (let second = 0; second < 120; second += 5) await pass(5_000);
  assert.equal(fed(), 4);
  assert.ok(said.includes("STATUS=program the network"));
  assert.deepEqual(errors, ["swarmd stands still"]);
  complaint = undefined;
  await pass(5_000);
  assert.equal(fed(), 5);
  assert.ok(said.at(-2)?.startsWith("STATUS=fine"), said.at(-2));
});

test("service manager, without a watchdog it is not fed; a status is said when it is another", async () => {
  const { clock, said, service } = noted("");
  await using _service = service;
  let status = "one";
  await service.ready({ status: () => status, complaint: () => undefined });
  clock.advance(60_000);
  status = "two";
  clock.advance(5_000);
  await until(() => said.length === 2);
  assert.deepEqual(said, ["READY=1 STATUS=one", "STATUS=two"]);
});

test("service manager, a host that shuts down is told from a service that is stopped", async () => {
  for (const [state, isEnd] of [
    ["running", false],
    ["degraded", false],
    ["stopping", true],
  ] as const) {
    const said: string[] = [];
    const exec = {
      run: async (program: string, args: readonly string[]) => {
        if (program !== "sh") said.push(args.join(" "));
        return { stdout: `${state}\n`, stderr: "" };
      },
    };
    const modules = { exec, clock: new FakeClock(), log: silentLog };
    await using service = ServiceManager.take({ NOTIFY_SOCKET: "/run/notify" }, modules);
    assert.equal(await service.stopping(), isEnd);
    assert.match(said[0] ?? "", isEnd ? /STATUS=stops with its host/ : /containers go on/);
  }
});

test("service manager, one that cannot be told is complained of, and nobody waits", async () => {
  const { errors, service } = noted("60000000", true);
  await using _service = service;
  await service.ready({ status: () => "fine", complaint: () => undefined });
  await service.stopping();
  assert.ok(errors.length >= 2);
  assert.equal(errors[0], "Cannot tell systemd");
});

test("service manager, without systemd nothing is run", async () => {
  const run = () => Promise.reject(new Error("it was run"));
  const modules = { exec: { run }, clock: new FakeClock(), log: silentLog };
  await using service = ServiceManager.take({ WATCHDOG_PID: "1", WATCHDOG_USEC: "1" }, modules);
  await service.ready({ status: () => "fine", complaint: () => undefined });
  assert.equal(await service.stopping(), false);
});
