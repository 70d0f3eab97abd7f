/** `npm start`: shows everything at work and goes without a trace, also when it is stopped half-way, by whatever means. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { labFolder } from "#lab/lab-folder.ts";
import { Lab } from "#lab/lab.ts";
import { waitFor } from "#lab/wait.ts";
import { type HostSnapshot, leftBehind, takeSnapshot } from "../host-snapshot.ts";

const name = "start-test";
const program = fileURLToPath(new URL("../../lab/start.ts", import.meta.url));
const tourMs = 120_000;
const goneMs = 30_000;

interface Started {
  readonly child: ChildProcess;
  /** What it has said so far. */
  readonly said: () => string;
  /** Resolves when it has said this. */
  readonly says: (text: string) => Promise<void>;
}

/** In a process group of its own, as a terminal would start it. */
function start(...args: readonly string[]): Started {
  const child = spawn(process.execPath, [program, "--name", name, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  }
  const said = () => output;
  const says = async (text: string) => {
    const saidOrEnded = () => output.includes(text) || child.exitCode !== null;
    await waitFor(`"${text}"`, saidOrEnded, { timeoutMs: tourMs });
    assert.ok(output.includes(text), output);
  };
  return { child, said, says };
}

/** Everything that the terminal started for the command gets the signal. */
function signalGroup({ child }: Started, signal: NodeJS.Signals): void {
  assert.ok(child.pid !== undefined);
  process.kill(-child.pid, signal);
}

async function assertGone(before: HostSnapshot): Promise<void> {
  let left: readonly string[] = [];
  const gone = () => {
    left = leftBehind(before, takeSnapshot());
    return left.length === 0 && !existsSync(labFolder(name));
  };
  await waitFor("everything to be gone", gone, { timeoutMs: goneMs }).catch(() => undefined);
  assert.deepEqual(left, []);
  assert.ok(!existsSync(labFolder(name)));
}

let before: HostSnapshot;

beforeEach(async () => {
  await Lab.down(name);
  before = takeSnapshot();
});

test("npm start -- --once shows each step, and exits 0", { timeout: tourMs }, async () => {
  const started = start("--once");
  const [status] = await once(started.child, "close");
  const said = started.said();
  assert.equal(status, 0, said);
  const lines = [
    /^Bringing up three hosts, h1, h2 and h3, and making them a cluster$/,
    /^ {2}h1 is the manager of a new cluster$/,
    /^ {2}h[23] joined as a worker$/,
    /^Deploying the stack stacks\/hello\.yml$/,
    /^ {2}hello_web\.1 +runs on h[123]$/,
    /^ {2}hello_client\.1 +runs on h[123]$/,
    /^ {2}hello_client\.1 on h[123] got an answer from hello_web\.[123] on h[123]$/,
    /^ {2}hello_web\.[123] on h[123] was killed and is back after \d+(\.\d)? m?s$/,
    /^ {2}h[23] is cut off; it runs /,
    /^ {2}all 3 web tasks run on other hosts after \d+(\.\d)? m?s$/,
    /^ {2}h[23] is joined again and ready after \d+(\.\d)? m?s$/,
    /^All went as it should; everything is removed again$/,
  ];
  for (const line of lines) assert.match(said, new RegExp(line, "m"));
  assert.doesNotMatch(said, /Error|undefined|\bat .*\.ts:\d+/);
  await assertGone(before);
});

test("npm start, killed with all its group while images are unpacked and a task runs, leaves nothing", async () => {
  const started = start();
  await started.says("hello_client.1  runs on");
  signalGroup(started, "SIGKILL");
  await once(started.child, "close");
  await assertGone(before);
});

test("npm start, killed while it makes the hosts, leaves nothing", async () => {
  const started = start();
  await started.says("booting h1, h2, h3");
  signalGroup(started, "SIGKILL");
  await once(started.child, "close");
  await assertGone(before);
});

test("npm start, stopped by Ctrl-C while it deploys, removes everything and says so", async () => {
  const started = start();
  await started.says("Deploying the stack");
  signalGroup(started, "SIGINT");
  const [status] = await once(started.child, "close");
  assert.equal(status, 0, started.said());
  assert.match(started.said(), /\nEverything is removed again\n$/);
  await assertGone(before);
});

test("npm start, a second one beside the first is refused in a sentence", async () => {
  const first = start();
  await first.says("booting h1, h2, h3");
  const second = start();
  const [status] = await once(second.child, "close");
  assert.equal(status, 1);
  assert.match(
    second.said(),
    /npm start: there is a lab "start-test" already: take it down with "lab down --name start-test", or choose another --name\n$/,
  );
  signalGroup(first, "SIGINT");
  await once(first.child, "close");
  await assertGone(before);
});
