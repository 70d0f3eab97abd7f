/** With a program in ssh's place that plays the other side. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { untilSeen } from "#proto/testing/until.ts";
import { SshRemotes } from "./ssh-remotes.ts";
import type { SshRemote } from "./ssh-remote.ts";

interface Played {
  readonly folder: string;
  readonly remotes: SshRemotes;
  readonly remote: SshRemote;
  readonly scope: AbortController;
}

/** `master` is what the connection itself does, `command` what programs on it do; the last argument is their line. */
async function play(t: TestContext, master: string, command: string): Promise<Played> {
  const folder = await mkdtemp(join(tmpdir(), "played-ssh-"));
  const scope = new AbortController();
  const script = `#!/bin/sh
cd ${folder}
for line in "$@"; do :; done
case " $* " in *ControlMaster=yes*) ${master} ;; *) ${command} ;; esac
`;
  await writeFile(join(folder, "ssh"), script, { mode: 0o755 });
  const env = { PATH: `${folder}:${process.env["PATH"]}`, XDG_RUNTIME_DIR: folder };
  const remotes = await SshRemotes.open({ env, signal: scope.signal });
  t.after(async () => {
    await remotes[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });
  const remote = remotes.add("a1", { address: "a1", settings: {} });
  return { folder, remotes, remote, scope };
}

const root = "echo 0; exec cat";

test("ssh, what start files print does not hide who we are there", async (t) => {
  // More than is read at once.
  const words = "echo Welcome; seq -f 'line %g' 50000";
  const { remote } = await play(t, `${words}; ${root}`, 'echo "$line"');
  assert.equal((await remote.run(["echo", "it's"])).stdout, "echo 'it'\\''s'\n");
});

test("ssh, a shell that says something else and ends is quoted", async (t) => {
  const { remote } = await play(t, "echo This account is not available", "true");
  await assert.rejects(remote.run(["true"]), {
    message: /answers "This account is not available" instead of a user's ID/,
  });
});

test("ssh, a program that prints without end is ended, and named as the reason", async (t) => {
  const { remote } = await play(t, root, "exec cat /dev/zero");
  await assert.rejects(remote.run(["true"]), { code: "failed-precondition", message: /not end/ });
});

test("ssh, a user who is not root goes through sudo -n, with every program and tunnel", async (t) => {
  const { remote } = await play(t, "echo 1000; exec cat", 'echo "$line"');
  assert.equal((await remote.run(["id", "a b"])).stdout, "sudo -n id 'a b'\n");
});

test("ssh, Ctrl-C ends its processes and leaves no folder", { timeout: 20_000 }, async (t) => {
  const running = "echo $$ >>pids; exec cat /dev/zero >/dev/null";
  const { folder, remote, remotes, scope } = await play(
    t,
    "echo $$ >pids; echo 0; exec cat",
    running,
  );
  const run = remote.run(["install"]);
  const pids = () =>
    readFileSync(join(folder, "pids"), "utf8").split("\n").filter(Boolean).map(Number);
  await untilSeen(() => existsSync(join(folder, "pids")) && pids().length === 2);
  const started = pids();
  scope.abort();
  await assert.rejects(run, { name: "Fault" });
  await remotes[Symbol.asyncDispose]();
  for (const pid of started) assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
  assert.deepEqual((await readdir(folder)).toSorted(), ["pids", "ssh"]);
});
