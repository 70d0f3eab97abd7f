/** Commands in real containers, through the engine's handlers. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type ExecRequest,
  ExecRequestSchema,
  type ExecResponse,
  type ExecStartSchema,
  TerminalSizeSchema,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import { ContainerService } from "#proto/gen/swarm/v1/engine_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { addService, type Client, type Handlers } from "#proto/grpc.ts";
import { systemClock } from "#proto/system-ports.ts";
import { TestServer } from "#proto/testing/test-server.ts";
import { until } from "#proto/testing/until.ts";
import { systemExec } from "../exec.ts";
import { TestNode } from "../task/testing/test-node.ts";
import { ExecSessions } from "./exec-sessions.ts";

const timeout = 60_000;
const node = new TestNode();
let taskId = "";
let sessions: ExecSessions;
let server: TestServer;
let client: Client<typeof ContainerService>;

function openSessions(): ExecSessions {
  const places = {
    tasksFolder: join(node.root, "agent/tasks"),
    runtimeRoot: join(node.root, "run/runc"),
  };
  const folder = join(node.root, "run/exec");
  return new ExecSessions(
    { ...places, folder, runtime: "runc" },
    { exec: systemExec, clock: systemClock },
  );
}

before(async () => {
  const worker = await node.open();
  const task = node.task({ env: ["FROM_TASK=2"] });
  worker.assign([task]);
  await node.untilState(task.id, TaskState.RUNNING);
  taskId = task.id;
  sessions = openSessions();
  const handlers = { exec: sessions.exec } as Handlers<typeof ContainerService>;
  server = await TestServer.serve((grpc) => addService(grpc, ContainerService, handlers));
  client = server.connection.service(ContainerService);
});

after(async () => {
  server[Symbol.dispose]();
  await sessions[Symbol.asyncDispose]();
  await node[Symbol.asyncDispose]();
});

type Start = MessageInitShape<typeof ExecStartSchema>;
type Input = NonNullable<MessageInitShape<typeof ExecRequestSchema>["input"]>;

function request(input: Input): ExecRequest {
  return create(ExecRequestSchema, { input });
}

/** A call whose inputs the test gives one after the other, and whose outputs it collects. */
class Call {
  readonly leave = new AbortController();
  readonly #waiting: Input[] = [];
  #wake = Promise.withResolvers<void>();
  stdout = Buffer.alloc(0);
  stderr = Buffer.alloc(0);
  exitCode: number | undefined;
  readonly ended: Promise<void>;

  constructor(start: Start, ...inputs: readonly Input[]) {
    const value = { taskId, command: [], ...start } as never;
    this.#waiting.push({ case: "start", value }, ...inputs);
    this.ended = this.#read(client.exec(this.#requests(), { signal: this.leave.signal }));
    this.ended.catch(() => undefined);
  }

  send(...inputs: readonly Input[]): void {
    this.#waiting.push(...inputs);
    this.#wake.resolve();
  }

  get words(): string {
    return this.stdout.toString();
  }

  async says(words: string): Promise<void> {
    await until(() => this.words.includes(words), 10_000);
  }

  async #read(responses: AsyncIterable<ExecResponse>): Promise<void> {
    for await (const { output } of responses) {
      if (output.case === "stdout") this.stdout = Buffer.concat([this.stdout, output.value]);
      if (output.case === "stderr") this.stderr = Buffer.concat([this.stderr, output.value]);
      if (output.case === "exitCode") this.exitCode = output.value;
    }
  }

  async *#requests(): AsyncIterable<ExecRequest> {
    for (;;) {
      for (let input = this.#waiting.shift(); input; input = this.#waiting.shift()) {
        yield request(input);
      }
      await this.#wake.promise;
      this.#wake = Promise.withResolvers();
    }
  }
}

async function run(start: Start, ...inputs: readonly Input[]): Promise<Call> {
  const call = new Call(start, ...inputs);
  await call.ended;
  return call;
}

const sh = (script: string): Pick<Start, "command"> => ({ command: ["sh", "-c", script] });
const stdin = (data: string | Buffer): Input => ({ case: "stdin", value: Buffer.from(data) });
const closed: Input = { case: "stdinClosed", value: true };

/** Of the container's processes, by their command lines. */
function runs(words: string): boolean {
  return readdirSync("/proc").some((name) => {
    if (!/^[0-9]+$/.test(name)) return false;
    try {
      const inside = readFileSync(`/proc/${name}/cgroup`, "utf8").includes(taskId);
      return inside && readFileSync(`/proc/${name}/cmdline`, "utf8").includes(words);
    } catch {
      return false;
    }
  });
}

test("exec, output, errors and the exit code come apart", { timeout }, async () => {
  const call = await run(sh("echo out; echo err >&2; exit 7"));
  assert.equal(call.words, "out\n");
  assert.equal(call.stderr.toString(), "err\n");
  assert.equal(call.exitCode, 7);
});

test("exec, a command has the container's environment and what is added", { timeout }, async () => {
  const script = "echo $FROM_IMAGE $FROM_TASK $MORE; pwd; id -u; id -g; hostname";
  const call = await run({ ...sh(script), env: ["MORE=3"], dir: "/tmp", user: "12:34" });
  assert.equal(call.words, `1 2 3\n/tmp\n12\n34\n${taskId.slice(0, 12)}\n`);
});

test("exec, what cannot be run ends with the codes of shells, in words", { timeout }, async () => {
  const missing = await run({ command: ["nosuch"] });
  assert.equal(missing.exitCode, 127);
  assert.match(missing.stderr.toString(), /^Cannot run "nosuch": .*not found in \$PATH\n$/);
  const folder = await run({ command: ["/etc"] });
  assert.equal(folder.exitCode, 126);
  const terminal = await run({ command: ["nosuch"], tty: true });
  assert.equal(terminal.exitCode, 127);
  assert.match(terminal.words, /^Cannot run "nosuch"/);
});

test("exec, bytes of any kind pass through, in the megabytes", { timeout }, async () => {
  const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  const sent = Buffer.concat(Array.from({ length: 256 }, () => all));
  const pieces = Array.from({ length: 64 }, () => stdin(sent));
  const call = await run({ ...sh("cat"), openStdin: true }, ...pieces, closed);
  assert.equal(call.stdout.length, 64 * sent.length);
  assert(call.stdout.subarray(0, sent.length).equals(sent));
  assert.equal(call.exitCode, 0);
});

test("exec, without stdin there is nothing to read", { timeout }, async () => {
  assert.equal((await run(sh("cat; echo end"))).words, "end\n");
});

test("exec, signals reach the process, and say so in the exit code", { timeout }, async () => {
  const call = new Call(
    sh("trap 'echo caught; exit 3' USR1; echo ready; while :; do sleep 1; done"),
  );
  await call.says("ready");
  call.send({ case: "signal", value: "SIGUSR1" });
  await call.ended;
  assert.match(call.words, /caught/);
  assert.equal(call.exitCode, 3);
  const other = new Call(sh("echo ready; exec sleep 1000"));
  await other.says("ready");
  other.send({ case: "signal", value: "SIGTERM" });
  await other.ended;
  assert.equal(other.exitCode, 143);
});

test("exec, a terminal has its size, can be resized, and answers keys", { timeout }, async () => {
  const size = { rows: 30, columns: 100 };
  const call = new Call({
    command: ["sh"],
    tty: true,
    openStdin: true,
    size: create(TerminalSizeSchema, size),
  });
  call.send(stdin("busybox stty size; echo $TERM; test -t 0 && echo term''inal\n"));
  await call.says("30 100");
  await call.says("xterm");
  await call.says("terminal");
  call.send({ case: "resize", value: { rows: 41, columns: 142 } as never });
  for (let tries = 0; tries < 50 && !call.words.includes("41 142"); tries++) {
    call.send(stdin("busybox stty size\n"));
    await systemClock.sleep(50);
  }
  await call.says("41 142");
  call.send(stdin("sleep 1234\n"));
  await until(() => runs("sleep\x001234"), 10_000);
  call.send(stdin("\x03"));
  await until(() => !runs("sleep\x001234"), 10_000);
  call.send(stdin("exit 5\n"));
  await call.ended;
  assert.equal(call.exitCode, 5);
});

test("exec, a process ends when its caller goes away", { timeout }, async () => {
  for (const tty of [false, true]) {
    const call = new Call({ ...sh("trap '' HUP; echo ready; sleep 4321; sleep 4321"), tty });
    await call.says("ready");
    await until(() => runs("4321"));
    call.leave.abort();
    await until(() => !runs("4321"), 10_000);
    await until(() => readdirSync(join(node.root, "run/exec")).length === 0, 10_000);
  }
});

test("exec, a caller can leave a process behind", { timeout }, async () => {
  for (const tty of [false, true]) {
    const call = new Call({ ...sh("echo ready; sleep 2.25; echo more; exec sleep 2.5"), tty });
    await call.says("ready");
    call.send({ case: "detach", value: true });
    await call.ended;
    assert.equal(call.exitCode, undefined);
    assert(runs("2.25"));
    await until(() => runs("sleep\x002.5"), 10_000);
    await until(() => !runs("sleep\x002.5"), 10_000);
    await until(() => readdirSync(join(node.root, "run/exec")).length === 0, 10_000);
  }
});

test("exec, what a command leaves in the background does not keep its session", {
  timeout,
}, async () => {
  const call = new Call(sh("sleep 1005 & echo $$ over"));
  await call.says("over");
  await until(() => !runs("sh\0-c\0sleep 1005"), 10_000);
  call.leave.abort();
  await assert.rejects(call.ended);
  await until(() => readdirSync(join(node.root, "run/exec")).length === 0, 10_000);
});

test("exec, a caller that does not read holds the process back", { timeout }, async () => {
  const requests = async function* () {
    const start = { taskId, ...sh("while :; do echo 0123456789012345678901234567890; done") };
    yield request({ case: "start", value: start as never });
    await new Promise(() => {});
  };
  const reading = client.exec(requests())[Symbol.asyncIterator]();
  await reading.next();
  const used = () => process.memoryUsage.rss();
  const before = used();
  await systemClock.sleep(1_000);
  assert(used() - before < 64 * 2 ** 20, `${used() - before} bytes more are held`);
  await reading.return?.();
  await until(() => !runs("0123456789"), 10_000);
});

test("exec, what this program has not ended it ends when it starts again", {
  timeout,
}, async () => {
  const call = new Call(sh("echo ready; exec sleep 9876"));
  await call.says("ready");
  await using again = openSessions();
  assert(again instanceof ExecSessions);
  await call.ended;
  assert.equal(call.exitCode, 137);
  assert(!runs("9876"));
});

test("exec, a task that has no container here, and one that has ended, say so", {
  timeout,
}, async () => {
  await assert.rejects(new Call({ ...sh("true"), taskId: "0".repeat(25) }).ended, {
    code: "not-found",
  });
  await assert.rejects(new Call({ ...sh("true"), taskId: "../../etc" }).ended, {
    code: "invalid-argument",
  });
  await assert.rejects(new Call({ command: [] }).ended, { code: "invalid-argument" });
  await assert.rejects(new Call({ ...sh("true"), user: "nobody-there" }).ended, {
    code: "failed-precondition",
  });
});

test("exec, a privileged command has all that this host can give", { timeout }, async () => {
  const caps = "busybox grep CapEff /proc/self/status";
  const plain = await run(sh(caps));
  const privileged = await run({ ...sh(caps), privileged: true });
  const own = /CapEff:\s*([0-9a-f]+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
  assert.notEqual(plain.words, privileged.words);
  assert(own !== undefined && privileged.words.includes(own), privileged.words);
  assert(existsSync("/proc/self"));
});
