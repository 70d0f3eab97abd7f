/** A container's own streams, through the engine's handler. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type AttachRequest,
  AttachRequestSchema,
  ContainerService,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { addService, type Client, type Handlers } from "#proto/grpc.ts";
import { systemClock } from "#proto/system-ports.ts";
import { TestServer } from "#proto/testing/test-server.ts";
import { until } from "#proto/testing/until.ts";
import { systemExec } from "../exec.ts";
import { TestNode } from "../task/testing/test-node.ts";
import { attachHandler } from "./attach.ts";

const timeout = 60_000;
const waitMs = 15_000;
const node = new TestNode();
let server: TestServer;
let client: Client<typeof ContainerService>;
const echo = node.task({
  command: ["sh", "-c", "echo before; while read line; do echo said $line; echo err >&2; done"],
  openStdin: true,
});
const terminal = node.task({ command: ["sh"], tty: true, openStdin: true });
const ending = node.task({ command: ["sh", "-c", "read line; exit $line"], openStdin: true });

before(async () => {
  const worker = await node.open();
  worker.assign([echo, terminal, ending]);
  for (const { id } of [echo, terminal, ending]) await node.untilState(id, TaskState.RUNNING);
  const places = {
    tasksFolder: join(node.root, "agent/tasks"),
    runtimeRoot: join(node.root, "run/runc"),
    exitsFolder: join(node.root, "run/exits"),
  };
  const handlers = { attach: attachHandler({ places, exec: systemExec, clock: systemClock }) };
  server = await TestServer.serve((grpc) =>
    addService(grpc, ContainerService, handlers as Handlers<typeof ContainerService>),
  );
  client = server.connection.service(ContainerService);
});

after(async () => {
  server[Symbol.dispose]();
  await node[Symbol.asyncDispose]();
});

type Input = NonNullable<MessageInitShape<typeof AttachRequestSchema>["input"]>;

class Call {
  readonly leave = new AbortController();
  readonly #waiting: Input[] = [];
  #wake = Promise.withResolvers<void>();
  stdout = "";
  stderr = "";
  exitCode: number | undefined;
  readonly ended: Promise<void>;

  constructor(taskId: string, openStdin = true) {
    this.#waiting.push({ case: "start", value: { taskId, openStdin } as never });
    this.ended = this.#read();
    this.ended.catch(() => undefined);
  }

  type(words: string): void {
    this.send({ case: "stdin", value: Buffer.from(words) });
  }

  send(input: Input): void {
    this.#waiting.push(input);
    this.#wake.resolve();
  }

  async says(words: string): Promise<void> {
    await until(() => this.stdout.includes(words), waitMs);
  }

  async #read(): Promise<void> {
    const { signal } = this.leave;
    for await (const { output } of client.attach(this.#requests(), { signal })) {
      if (output.case === "stdout") this.stdout += Buffer.from(output.value).toString();
      if (output.case === "stderr") this.stderr += Buffer.from(output.value).toString();
      if (output.case === "exitCode") this.exitCode = output.value;
    }
  }

  async *#requests(): AsyncIterable<AttachRequest> {
    for (;;) {
      for (let input = this.#waiting.shift(); input; input = this.#waiting.shift()) {
        yield create(AttachRequestSchema, { input });
      }
      await this.#wake.promise;
      this.#wake = Promise.withResolvers();
    }
  }
}

test("attach, what is typed goes there, and what is printed from now on comes", {
  timeout,
}, async () => {
  const call = new Call(echo.id);
  call.type("hello\n");
  await call.says("said hello\n");
  await until(() => call.stderr === "err\n", waitMs);
  assert.doesNotMatch(call.stdout, /before/);
  call.leave.abort();
  await assert.rejects(call.ended, { code: "canceled" });
});

test("attach, a container goes on when one leaves, and others may come", { timeout }, async () => {
  const [one, two] = [new Call(echo.id), new Call(echo.id, false)];
  one.type("again\n");
  await Promise.all([one.says("said again\n"), two.says("said again\n")]);
  two.type("nobody listens\n");
  one.leave.abort();
  const three = new Call(echo.id);
  three.type("third\n");
  await three.says("said third\n");
  assert.doesNotMatch(three.stdout, /nobody/);
  two.leave.abort();
  three.leave.abort();
});

test("attach, a terminal has prompts and sizes", { timeout }, async () => {
  const call = new Call(terminal.id);
  call.type("\n");
  await call.says("# ");
  call.send({ case: "resize", value: { rows: 21, columns: 43 } as never });
  call.type("busybox stty size\n");
  await call.says("21 43");
  call.leave.abort();
});

test("attach, the container's end is the end, with its exit code", { timeout }, async () => {
  const call = new Call(ending.id);
  call.type("7\n");
  await call.ended;
  assert.equal(call.exitCode, 7);
});

test("attach, signals reach the container", { timeout }, async () => {
  const call = new Call(echo.id);
  call.type("there\n");
  await call.says("said there\n");
  call.send({ case: "signal", value: "SIGKILL" });
  await call.ended;
});
