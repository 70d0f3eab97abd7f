/** The program, as systemd sees it. In a network namespace of its own: a host has one swarmd. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { untilSeen } from "#proto/testing/until.ts";
import { NotifySocket } from "./testing/notify-socket.ts";

const program = fileURLToPath(import.meta.resolve("./main.ts"));

function run(...args: readonly string[]) {
  return spawnSync(process.execPath, [program, ...args], { encoding: "utf8" });
}

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "swarmd-main-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

class Host {
  readonly folder: string;
  readonly file: string;
  #said = "";

  constructor(folder: string) {
    this.folder = folder;
    this.file = join(folder, "swarmd.yml");
    mkdirSync(join(folder, "run"));
  }

  write(...lines: readonly string[]): void {
    const roots = [`data-root: ${this.folder}/data`, `run-root: ${this.folder}/run`];
    writeFileSync(this.file, [...roots, ...lines].join("\n"));
  }

  start(t: TestContext): ChildProcess {
    const env = { ...process.env, NOTIFY_SOCKET: join(this.folder, "notify") };
    const args = ["-n", process.execPath, program, `--config=${this.file}`];
    const child = spawn("unshare", args, { env, stdio: ["ignore", "ignore", "pipe"] });
    t.after(() => void child.kill("SIGKILL"));
    child.stderr.on("data", (chunk: Buffer) => {
      this.#said += chunk.toString();
    });
    return child;
  }

  get said(): string {
    return this.#said;
  }
}

test("swarmd, tells systemd of its life, and takes up settings on SIGHUP", async (t) => {
  const host = new Host(temporaryFolder(t));
  using socket = await NotifySocket.listen(host.folder);
  host.write();
  const child = host.start(t);
  const ended = once(child, "exit");
  const seen = (what: () => string, words: string) =>
    untilSeen(() => what().includes(words), 30_000);
  await seen(() => socket.told, "READY=1\nSTATUS=belongs to no cluster");
  host.write("log-level: debug", "engine-address: 127.0.0.1:2399");
  child.kill("SIGHUP");
  await seen(() => host.said, 'changed="[\\"log-level\\"]"');
  await seen(() => host.said, 'settings="[\\"engine-address\\"]"');
  host.write("log-levl: debug");
  child.kill("SIGHUP");
  await seen(() => host.said, "swarmd.yml:3:1: log-levl is not known: did you mean log-level?");
  await seen(() => socket.told, "RELOADING=1");
  child.kill("SIGTERM");
  assert.deepEqual(await ended, [0, null]);
  assert.match(socket.told, /STOPPING=1\nSTATUS=stops; containers go on running/);
});

test("swarmd, --check and --print-config say by their exit status what there is to know", (t) => {
  const file = join(temporaryFolder(t), "swarmd.yml");
  const printed = run("--print-config");
  assert.equal(printed.status, 0);
  writeFileSync(file, printed.stdout);
  const valid = run("--config", file, "--check");
  assert.deepEqual([valid.status, valid.stdout, valid.stderr], [0, "", ""]);
  writeFileSync(file, "data-rot: /d\n");
  const invalid = run("--config", file, "--check");
  assert.equal(invalid.status, 2);
  assert.equal(
    invalid.stderr,
    `swarmd: ${file}:1:1: data-rot is not known: did you mean data-root?; see swarmd --help\n`,
  );
});
