/** Connections into the network namespace of a real container. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  ContainerService,
  type ForwardPortRequest,
  ForwardPortRequestSchema,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { addService, type Client, type Handlers } from "#proto/grpc.ts";
import { TestServer } from "#proto/testing/test-server.ts";
import { until } from "#proto/testing/until.ts";
import { systemExec } from "../exec.ts";
import { TestNode } from "../task/testing/test-node.ts";
import { forwardPortHandler } from "./forward-port.ts";

const timeout = 60_000;
const node = new TestNode();
let taskId = "";
let server: TestServer;
let client: Client<typeof ContainerService>;

/** On 7000 an echo. */
const servers = "busybox ip link set lo up; exec busybox nc -ll -p 7000 -e cat";

before(async () => {
  const worker = await node.open();
  const task = node.task({
    command: ["sh", "-c", servers],
    capabilityAdd: ["NET_ADMIN"],
  });
  worker.assign([task]);
  await node.untilState(task.id, TaskState.RUNNING);
  taskId = task.id;
  const places = {
    tasksFolder: join(node.root, "agent/tasks"),
    runtimeRoot: join(node.root, "run/runc"),
  };
  const handlers = {
    forwardPort: forwardPortHandler(places, systemExec),
  } as Handlers<typeof ContainerService>;
  server = await TestServer.serve((grpc) => addService(grpc, ContainerService, handlers));
  client = server.connection.service(ContainerService);
  // What listens last does so when the others do.
  for (let tries = 0; tries < 100; tries++) {
    const answer = await talk(7000, "ready").catch(() => undefined);
    if (answer?.said === "ready") return;
  }
  throw new Error("the container's servers do not listen");
});

after(async () => {
  server[Symbol.dispose]();
  await node[Symbol.asyncDispose]();
});

async function* requests(port: number, ...data: readonly (string | Buffer)[]) {
  const start = { case: "start", value: { taskId, port } };
  yield create(ForwardPortRequestSchema, { input: start } as never);
  for (const value of data) {
    const input = { case: "data", value: Buffer.from(value) };
    yield create(ForwardPortRequestSchema, { input } as never);
  }
}

async function talk(port: number, ...data: readonly (string | Buffer)[]) {
  return collect(requests(port, ...data));
}

async function collect(asked: AsyncIterable<ForwardPortRequest>) {
  const pieces: Uint8Array[] = [];
  let closed = false;
  for await (const response of client.forwardPort(asked)) {
    pieces.push(response.data);
    closed ||= response.closed;
  }
  const whole = Buffer.concat(pieces);
  return { said: whole.toString(), sizeBytes: whole.length, closed };
}

test("forward-port, the task hears the end of what is sent, and may still answer", {
  timeout,
}, async () => {
  assert.deepEqual(await talk(7000, "one ", "two"), {
    said: "one two",
    sizeBytes: 7,
    closed: true,
  });
});

test("forward-port, megabytes pass both ways", { timeout }, async () => {
  const data = Array.from({ length: 64 }, () => Buffer.alloc(256 * 1024, "x"));
  assert.equal((await talk(7000, ...data)).sizeBytes, 16 * 2 ** 20);
});

test("forward-port, many connections at a time", { timeout }, async () => {
  const words = Array.from({ length: 20 }, (_, index) => `connection ${index}`);
  const answers = await Promise.all(words.map((word) => talk(7000, word)));
  assert.deepEqual(
    answers.map(({ said }) => said),
    words,
  );
});

test("forward-port, the caller may send on when the task is done", {
  timeout: 15_000,
}, async () => {
  const pid = readFileSync(join(node.root, "agent/tasks", taskId, "1/pid"), "utf8").trim();
  const network = `--net=/proc/${pid}/ns/net`;
  const program = [process.execPath, "-e", halfCloser];
  const server = systemExec.start("nsenter", [network, ...program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(server, "exit");
  const heard = Promise.withResolvers<void>();
  const asked = async function* () {
    yield* requests(7001);
    await heard.promise;
    yield create(ForwardPortRequestSchema, {
      input: { case: "data", value: Buffer.from("12345") },
    });
  };
  await until(() => readFileSync(`/proc/${pid}/net/tcp`, "utf8").includes(":1B59 "));
  const responses = client.forwardPort(asked());
  let said = "";
  for await (const { data, closed } of responses) {
    said += Buffer.from(data).toString();
    if (closed) heard.resolve();
  }
  assert.equal(said, "hello\n");
  assert(server.stdout !== null);
  assert.equal(Buffer.concat(await server.stdout.toArray()).toString(), "12345");
  await ended;
});

/** Says hello on port 7001 and that this was all, and then prints what it hears. */
const halfCloser = `const server = require("node:net").createServer({ allowHalfOpen: true }, (socket) => {
  socket.end("hello\\n");
  socket.pipe(process.stdout);
  socket.on("end", () => server.close());
}).listen(7001, "127.0.0.1");`;

test("forward-port, a port on which nothing listens", { timeout }, async () => {
  await assert.rejects(talk(7999), {
    code: "unavailable",
    message: "Nothing listens on port 7999 of the task",
  });
  await assert.rejects(talk(0), { code: "invalid-argument" });
});
