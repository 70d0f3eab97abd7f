/** exec, attach and cp against an engine in this process, behind a manager's socket. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Fault } from "#proto/fault.ts";
import type { ContainerService, ExecStart } from "#proto/gen/swarm/v1/engine_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Handlers } from "#proto/grpc.ts";
import { parsePlace } from "./cp.ts";
import { FakeCluster } from "./testing/fake-cluster.ts";
import { aService, aServiceSpec, aTask, idOf } from "./testing/objects.ts";
import { type RunOptions, runCli } from "./testing/run-cli.ts";

const timeout = 30_000;
const service = aService(aServiceSpec("web"));
const task = aTask(service, { slot: 1n, state: TaskState.RUNNING, node: "h2" });
const failed = aTask(service, { slot: 2n, state: TaskState.FAILED, err: "exit code 3" });
const folder = mkdtempSync(join(tmpdir(), "swarmctl-exec-"));
after(() => rmSync(folder, { recursive: true }));

async function run(
  containers: Partial<Handlers<typeof ContainerService>>,
  words: readonly string[],
  options: RunOptions = {},
) {
  await using cluster = await FakeCluster.open({
    containers,
    control: {
      getTask: async ({ ref }) => {
        if (ref === "web.1") return { task };
        if (ref === "web.2") return { task: failed };
        throw new Fault("not-found", `task "${ref}" not found`);
      },
    },
  });
  return await runCli(cluster, words, options);
}

test("exec, what is said, and what comes back", { timeout }, async () => {
  let start: ExecStart | undefined;
  let nodeId: string | undefined;
  const words = ["exec", "-i", "-e", "A=1", "-e", "MINE", "-u", "me:us", "-w", "/srv", "web.1"];
  const outcome = await run(
    {
      exec: async function* (requests, { metadata }) {
        nodeId = metadata.get("swarm-node");
        for await (const { input } of requests) {
          if (input.case === "start") start = input.value;
          if (input.case === "stdin") yield { output: { case: "stdout", value: input.value } };
          if (input.case === "stdinClosed") break;
        }
        yield { output: { case: "stderr", value: Buffer.from("oh\n") } };
        yield { output: { case: "exitCode", value: 42 } };
      },
    },
    [...words, "ls", "-l", "--help", "--user", "x"],
    { stdin: "typed\n", env: { MINE: "own" } },
  );
  assert.deepEqual(outcome, { code: 42, stdout: "typed\n", stderr: "oh\n" });
  assert.equal(nodeId, idOf("h2"));
  assert.deepEqual(start?.command, ["ls", "-l", "--help", "--user", "x"]);
  assert.deepEqual(start?.env, ["A=1", "MINE=own"]);
  assert.deepEqual([start?.user, start?.dir, start?.tty], ["me:us", "/srv", false]);
  assert.equal(start?.taskId, task.id);
});

test("exec, a command that is left runs on, and one that cannot be run is told of", {
  timeout,
}, async () => {
  let left = false;
  const outcome = await run(
    {
      exec: async function* (requests) {
        for await (const { input } of requests) {
          if (input.case === "start")
            yield { output: { case: "stdout", value: Buffer.from("lost") } };
          left = input.case === "detach";
          if (left) return;
        }
      },
    },
    ["exec", "-d", "web.1", "sleep", "5"],
  );
  assert.deepEqual([outcome, left], [{ code: 0, stdout: "", stderr: "" }, true]);
  const missing = await run(
    {
      exec: async function* () {
        yield { output: { case: "stderr", value: Buffer.from("no such program\n") } };
        yield { output: { case: "exitCode", value: 127 } };
      },
    },
    ["exec", "--detach", "web.1", "slep"],
  );
  assert.deepEqual(missing, { code: 127, stdout: "", stderr: "no such program\n" });
});

test("exec, what cannot be is refused before anything is run", { timeout }, async () => {
  const ended = await run({}, ["exec", "web.2", "ls"]);
  assert.equal(ended.code, 1);
  assert.equal(
    ended.stderr,
    `swarmctl: Task web.2 (${failed.id}) does not run: it is failed, exit code 3\n`,
  );
  const missing = await run({}, ["exec", "web.9", "ls"]);
  assert.match(missing.stderr, /^swarmctl: There is no task "web.9"/);
  const pipe = await run({}, ["exec", "-it", "web.1", "sh"]);
  assert.match(pipe.stderr, /The input is not a terminal/);
  assert.equal((await run({}, ["exec", "web.1"])).code, 2);
  assert.equal((await run({}, ["exec", "--detach-keys", "ctrl-1", "web.1", "sh"])).code, 2);
});

test("attach, only what is printed, and the container's exit code", { timeout }, async () => {
  const outcome = await run(
    {
      attach: async function* () {
        yield { output: { case: "stdout", value: Buffer.from("line\n") } };
        yield { output: { case: "exitCode", value: 9 } };
      },
    },
    ["attach", "--no-stdin", "web.1"],
  );
  assert.deepEqual(outcome, { code: 9, stdout: "line\n", stderr: "" });
});

/** A container with one folder, "/there", which holds what was sent last. */
function container(): Partial<Handlers<typeof ContainerService>> {
  let held: Buffer = Buffer.alloc(0);
  return {
    writeArchive: async (requests) => {
      const pieces: Uint8Array[] = [];
      let complete = false;
      for await (const { input } of requests) {
        if (input.case === "start" && input.value.path !== "/there") {
          throw new Fault("not-found", "no such folder");
        }
        if (input.case === "data") pieces.push(input.value);
        if (input.case === "complete") complete = input.value;
      }
      assert(complete);
      held = Buffer.concat(pieces);
      return {};
    },
    readArchive: async function* () {
      yield { data: held };
    },
  };
}

test("cp, a folder under another name, and back", { timeout }, async () => {
  const engine = container();
  mkdirSync(join(folder, "a.b/sub"), { recursive: true });
  writeFileSync(join(folder, "a.b/sub/file"), "x");
  const there = await run(engine, ["cp", join(folder, "a.b"), "web.1:/there/new"]);
  assert.deepEqual(there, { code: 0, stdout: "", stderr: "" });
  const back = await run(engine, ["cp", "web.1:/there/new", folder]);
  assert.deepEqual(back, { code: 0, stdout: "", stderr: "" });
  assert.equal(readFileSync(join(folder, "new/sub/file"), "utf8"), "x");
  await run(engine, ["cp", "web.1:/there/new", join(folder, "other")]);
  assert.equal(readFileSync(join(folder, "other/sub/file"), "utf8"), "x");
});

test("cp, what a container sends to lie elsewhere is not unpacked", { timeout }, async () => {
  const { spawnSync } = await import("node:child_process");
  writeFileSync(join(folder, "evil"), "x");
  const args = ["-c", "-P", "--transform=s,^,../,", "-C", folder, "evil"];
  const { stdout } = spawnSync("tar", args);
  mkdirSync(join(folder, "inner/target"), { recursive: true });
  const outcome = await run(
    {
      readArchive: async function* () {
        yield { data: stdout };
      },
    },
    ["cp", "web.1:/x", join(folder, "inner/target")],
  );
  assert.equal(outcome.code, 1);
  assert.match(outcome.stderr, /"..\/evil" lies outside of the folder/);
  assert.throws(() => readFileSync(join(folder, "inner/evil")));
});

test("cp, which of two places is in a task", async () => {
  assert.deepEqual(parsePlace("web.1:/etc"), { task: "web.1", path: "/etc" });
  assert.deepEqual(parsePlace("web.1:"), { task: "web.1", path: "/" });
  for (const path of ["./a:b", "/a:b", "plain", ":x"]) {
    assert.deepEqual(parsePlace(path), { task: undefined, path });
  }
  assert.match((await run({}, ["cp", "a", "b"])).stderr, /One of the two must be in a task/);
});
