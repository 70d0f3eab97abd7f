import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type LogMessageSchema,
  LogStream,
  type SubscribeLogsRequest,
  SubscribeLogsResponseSchema,
} from "#proto/gen/swarm/v1/control_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { DriverSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { systemClock } from "#proto/system-ports.ts";
import { msFromTimestamp, timestampFromMs } from "#proto/time.ts";
import type { ControlClient } from "../context.ts";
import type { Io } from "../io.ts";
import { FakeCluster } from "../testing/fake-cluster.ts";
import { FakeControl } from "../testing/fake-control.ts";
import { aService, aServiceSpec, aTask, idOf, nowMs } from "../testing/objects.ts";
import { type RunOptions, runCli } from "../testing/run-cli.ts";
import { LogPrinter } from "./log-printer.ts";

type Message = MessageInitShape<typeof LogMessageSchema>;

const web = aService(aServiceSpec("web"));
const task = aTask(web, { slot: 1n, state: TaskState.RUNNING });
const second = aTask(web, { slot: 2n, state: TaskState.RUNNING });

const line = (data: string, init: Message = {}): Message => ({
  taskId: task.id,
  nodeId: idOf("h1"),
  timestamp: timestampFromMs(nowMs),
  stream: LogStream.STDOUT,
  data: Buffer.from(data),
  ...init,
});

/** What a command prints when the manager sends these lines, and what it asked for. */
async function show(argv: readonly string[], messages: readonly Message[], options?: RunOptions) {
  const control = new FakeControl();
  control.services.set(web.id, web);
  control.tasks.set(task.id, task);
  control.tasks.set(second.id, second);
  const asked: SubscribeLogsRequest[] = [];
  await using cluster = await FakeCluster.open({
    control: {
      ...control.handlers,
      async *subscribeLogs(request) {
        asked.push(request);
        yield { messages: [...messages] };
      },
    },
  });
  return { ...(await runCli(cluster, argv, options)), asked };
}

describe("service logs", () => {
  it("asks for a time from and to, as a time or how long ago", async () => {
    const clock = { ...systemClock, now: () => nowMs };
    const times = ["--since", "10m", "--until", "2026-01-02T03:04:05Z", "-n", "7", "-f"];
    const { asked, code } = await show(["service", "logs", ...times, "web"], [], { clock });
    assert.equal(code, 0);
    const options = asked[0]?.options;
    assert.equal(msFromTimestamp(options?.since), nowMs - 600_000);
    assert.equal(msFromTimestamp(options?.until), Date.UTC(2026, 0, 2, 3, 4, 5));
    assert.deepEqual([options?.tail, options?.follow], [7n, true]);
  });

  it("prints names in colours on a terminal, one for each task, and none elsewhere", async () => {
    const lines = [line("a"), line("b", { taskId: second.id }), line("c")];
    const { stdout } = await show(["service", "logs", "--no-task-ids", "web"], lines, {
      isTTY: true,
    });
    const colours = stdout
      .split("\n")
      .map((text) => text.startsWith("\x1b[") && text.slice(2, text.indexOf("m")));
    assert.equal(new Set(colours.slice(0, 2)).size, 2);
    assert.equal(colours[0], colours[2]);
    const plain = await show(["service", "logs", "web"], lines, {
      isTTY: true,
      env: { NO_COLOR: "1" },
    });
    assert.ok(!plain.stdout.includes("\x1b"));
  });

  it("prints short IDs, whole ones with --no-trunc, and IDs alone with --no-resolve", async () => {
    const prefix = async (...flags: string[]) =>
      (await show(["service", "logs", ...flags, "web"], [line("x")])).stdout.split(" ")[0];
    assert.equal(await prefix(), `web.1.${task.id.slice(0, 12)}@h1`);
    assert.equal(await prefix("--no-trunc"), `web.1.${task.id}@h1`);
    assert.equal(await prefix("--no-resolve"), `${task.id.slice(0, 12)}@${idOf("h1")}`);
  });

  it("says with --details where a line is from, and what the log's options name", async () => {
    const spec = aServiceSpec("web");
    assert.ok(spec.task?.runtime.case === "container");
    spec.task.runtime.value.env = ["STAGE=a=b"];
    spec.task.logDriver = create(DriverSchema, { name: "local", options: { env: "STAGE,NONE" } });
    task.spec = spec.task;
    const { stdout } = await show(["service", "logs", "--raw", "--details", "web"], [line("x")]);
    const ids = `com.docker.swarm.service.id=${task.serviceId},com.docker.swarm.task.id=${task.id}`;
    assert.equal(stdout, `com.docker.swarm.node.id=${idOf("h1")},${ids},STAGE=a=b x\n`);
  });

  it("keeps lines without an end together when they stand alone", async () => {
    const lines = [
      line("a".repeat(10), { partial: true }),
      line("b"),
      line("c", { partial: true }),
    ];
    const { stdout } = await show(["service", "logs", "--raw", "web"], lines);
    assert.equal(stdout, `${"a".repeat(10)}b\nc`);
  });

  it("says on stderr, with the task's name, that lines were dropped", async () => {
    const lines = [line("a"), line("lines were dropped", { dropped: true }), line("b")];
    const { stdout, stderr } = await show(["service", "logs", "--raw", "web"], lines);
    assert.equal(stdout, "a\nb\n");
    assert.match(stderr, /^web\.1\.\S+@h1 +\| lines were dropped\n$/);
  });
});

describe("log printer", () => {
  it("takes no more lines while its reader has not taken the last ones", async () => {
    const taken: (() => void)[] = [];
    const stdout = { write: (_: unknown, done = () => {}) => taken.push(done) };
    const options = { raw: true, taskIds: true, resolve: true, trunc: true } as const;
    const printer = new LogPrinter({ stdout } as unknown as Io, {} as ControlClient, options);
    const printing = printer.print(create(SubscribeLogsResponseSchema, { messages: [line("a")] }));
    const other = new Promise((resolve) => setImmediate(resolve, "waits"));
    assert.equal(await Promise.race([printing, other]), "waits");
    taken[0]?.();
    await printing;
  });
});

describe("task logs", () => {
  it("shows one task's", async () => {
    const { stdout, asked } = await show(["task", "logs", "--raw", task.id], [line("x")]);
    assert.equal(stdout, "x\n");
    assert.deepEqual([asked[0]?.taskRef, asked[0]?.serviceRef], [task.id, ""]);
  });
});

describe("log drivers", () => {
  it("are named by service create and update, options with their driver", async () => {
    const control = new FakeControl();
    await using cluster = await FakeCluster.open({ control: control.handlers });
    const driverOf = () => {
      const [service] = control.services.values();
      const { name, options } = service?.spec?.task?.logDriver ?? {};
      return { name, options };
    };
    const flags = ["--log-driver", "json-file", "--log-opt", "max-size=1m", "--log-opt", "tag=a=b"];
    const created = await runCli(cluster, [
      "service",
      "create",
      "-d",
      "--name",
      "web",
      ...flags,
      "a",
    ]);
    assert.equal(created.code, 0, created.stderr);
    assert.deepEqual(driverOf(), { name: "json-file", options: { "max-size": "1m", tag: "a=b" } });
    await runCli(cluster, ["service", "update", "-d", "--log-opt", "max-file=2", "web"]);
    assert.deepEqual(driverOf(), { name: "json-file", options: { "max-file": "2" } });
    await runCli(cluster, ["service", "update", "-d", "--log-driver", "none", "web"]);
    assert.deepEqual(driverOf(), { name: "none", options: {} });
  });
});
