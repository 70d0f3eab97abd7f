import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Lab } from "./lab.ts";
import { labFolder } from "./lab-folder.ts";
import { capture, type RunOptions, start } from "./process.ts";

const main = fileURLToPath(new URL("main.ts", import.meta.url));

/** Runs `lab COMMAND …` as a user does. */
function lab(args: readonly string[], options: RunOptions = {}) {
  return capture([process.execPath, main, ...args], options);
}

describe("the command line", () => {
  const name = `test-cli-${process.pid}`;
  before(async () => {
    const up = ["up", "--name", name, "--workers", "1", "--no-cluster", "--images", "busybox"];
    const { status, stderr } = await lab(up);
    assert.equal(status, 0, stderr);
  });
  after(async () => {
    await Lab.down(name);
  });

  test("exec passes input, output, arguments and exit status", async () => {
    const script = 'cat; echo "$@" >&2; exit 5';
    const command = ["exec", "--name", name, "h2", "--", "sh", "-c", script, "sh", "-x", "--name"];
    const outcome = await lab(command, { input: "in" });
    assert.deepEqual(outcome, { status: 5, stdout: "in", stderr: "-x --name\n" });
  });

  test("exec passes signals on", async () => {
    const script = "trap 'echo got it; exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    const argv = [process.execPath, main, "exec", "--name", name, "h1", "--", "sh", "-c", script];
    const child = start(argv, { stdio: ["ignore", "pipe", "inherit"] });
    const ended = new Promise((resolve) => child.on("close", resolve));
    let output = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      output += chunk.toString();
      if (output === "ready\n") child.kill("SIGTERM");
    });
    assert.equal(await ended, 9);
    assert.equal(output, "ready\ngot it\n");
  });

  test("ls tells the state of each host", async () => {
    const states = async () => {
      const { stdout } = await lab(["ls", "--name", name]);
      const rows = stdout.trim().split("\n").slice(1);
      return rows.map((row) => row.split(/ +/));
    };
    assert.deepEqual(await states(), [
      ["h1", "172.31.0.1", "manager", "running", "-"],
      ["h2", "172.31.0.2", "worker", "running", "-"],
    ]);
    assert.equal((await lab(["cut", "--name", name, "h1"])).status, 0);
    assert.equal((await lab(["kill", "--name", name, "h2"])).status, 0);
    assert.deepEqual(
      (await states()).map(([, , , state]) => state),
      ["cut", "killed"],
    );
    assert.equal((await lab(["heal", "--name", name])).status, 0);
    assert.equal((await lab(["stop", "--name", name, "h1"])).status, 0);
    assert.deepEqual(
      (await states()).map(([, , , state]) => state),
      ["stopped", "killed"],
    );
  });

  test("errors are one sentence and exit 1, wrong usage exits 2", async () => {
    const { status, stderr } = await lab(["exec", "--name", name, "h9", "--", "true"]);
    assert.deepEqual([status, stderr], [1, 'there is no host "h9": the hosts are h1, h2\n']);
    const statusOf = async (args: readonly string[]) => (await lab(args)).status;
    const wrong = [["dance"], ["up", "--workers", "-1"], ["swarmd", "--name", name, "h1", "hug"]];
    assert.deepEqual(await Promise.all(wrong.map(statusOf)), [2, 2, 2]);
    const failing = [
      ["ls", "--name", "no-such-lab"],
      ["up", "--name", name],
      ["up", "--managers", "0"],
    ];
    assert.deepEqual(await Promise.all(failing.map(statusOf)), [1, 1, 1]);
    assert.equal(await statusOf(["--help"]), 0);
  });
});

test("up leaves nothing behind when it is interrupted", async () => {
  const name = `test-interrupt-${process.pid}`;
  const up = [process.execPath, main, "up", "--name", name, "--no-cluster"];
  const child = start(up, { stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise((resolve) => child.on("close", resolve));
  let output = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    if (output === "") child.kill("SIGINT");
    output += chunk.toString();
  });
  assert.equal(await ended, 130);
  assert.match(output, /interrupted/);
  assert.ok(!existsSync(labFolder(name)));
});
