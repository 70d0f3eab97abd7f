import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LogStream } from "#proto/gen/swarm/v1/control_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { timestampFromMs } from "#proto/time.ts";
import { FakeCluster } from "./testing/fake-cluster.ts";
import { FakeControl } from "./testing/fake-control.ts";
import { aService, aServiceSpec, aTask, idOf, nowMs } from "./testing/objects.ts";
import { runCli } from "./testing/run-cli.ts";

describe("network", () => {
  it("is created with its subnet, listed, inspected and removed", async () => {
    const control = new FakeControl();
    await using cluster = await FakeCluster.open({ control: control.handlers });
    const words = "network create --subnet 10.9.0.0/24 --gateway 10.9.0.1 --internal back";
    assert.equal((await runCli(cluster, words.split(" "))).code, 0);
    const { stdout } = await runCli(cluster, ["network", "inspect", "back"]);
    const [network] = JSON.parse(stdout);
    assert.deepEqual(network.spec.ipam.configs, [{ subnet: "10.9.0.0/24", gateway: "10.9.0.1" }]);
    assert.deepEqual(network.spec.driverConfig, { name: "overlay" });
    assert.equal(network.spec.internal, true);
    assert.match((await runCli(cluster, ["network", "ls"])).stdout, /back +overlay +swarm/);
    const removal = await runCli(cluster, ["network", "rm", "none", "back", "neither"]);
    assert.deepEqual(removal, {
      code: 1,
      stdout: "back\n",
      stderr: 'swarmctl: No network "none"\nswarmctl: No network "neither"\n',
    });
  });

  it("has no gateway without a subnet", async () => {
    const argv = ["network", "create", "--gateway", "10.9.0.1", "back"];
    assert.equal((await runCli({ runRoot: "/nowhere" }, argv)).code, 2);
  });
});

describe("service", () => {
  it("is scaled and updated from the version that was read, again after a conflict", async () => {
    const control = new FakeControl();
    const web = aService(aServiceSpec("web"));
    control.services.set(web.id, web);
    await using cluster = await FakeCluster.open({ control: control.handlers });
    control.conflicts = 1;
    const scaled = await runCli(cluster, ["service", "scale", "-d", "web=4"]);
    assert.equal(scaled.stdout, "web scaled to 4\n");
    await runCli(cluster, [
      "service",
      "update",
      "-d",
      "--image",
      "b:2",
      "--args",
      "x 'y z'",
      "web",
    ]);
    const { stdout } = await runCli(cluster, ["service", "inspect", "web"]);
    const [{ spec }] = JSON.parse(stdout);
    assert.equal(spec.replicated.replicas, "4");
    assert.deepEqual(spec.task.container, { image: "b:2", args: ["x", "y z"] });
  });

  it("is created from JSON, whose unknown fields are named", async () => {
    await using cluster = await FakeCluster.open({ control: new FakeControl().handlers });
    const create = ["service", "create", "-d", "--spec", "-"];
    const good = await runCli(cluster, create, { stdin: '{"annotations": {"name": "web"}}' });
    assert.deepEqual(good, { code: 0, stdout: `${idOf("web")}\n`, stderr: "" });
    const bad = await runCli(cluster, create, {
      stdin: '{"task": {"container": {"imagee": "a"}}}',
    });
    assert.equal(bad.code, 1);
    assert.match(bad.stderr, /^swarmctl: Cannot read a service from "-": .*"imagee" is unknown\n$/);
    const broken = await runCli(cluster, create, { stdin: "{" });
    assert.match(broken.stderr, /^swarmctl: Cannot read a service from "-": /);
  });

  it("shows its logs with names, stderr apart, and says what is missing", async () => {
    const control = new FakeControl();
    const web = aService(aServiceSpec("web"));
    const task = aTask(web, { slot: 1n, state: TaskState.RUNNING });
    control.services.set(web.id, web);
    control.tasks.set(task.id, task);
    const line = (data: string, stream: LogStream) => ({
      taskId: task.id,
      nodeId: idOf("h1"),
      timestamp: timestampFromMs(nowMs),
      stream,
      data: Buffer.from(data),
    });
    await using cluster = await FakeCluster.open({
      control: {
        ...control.handlers,
        async *subscribeLogs() {
          yield { messages: [line("one", LogStream.STDOUT), line("two", LogStream.STDERR)] };
          yield { warnings: ["node h3 is down"] };
        },
      },
    });
    assert.deepEqual(await runCli(cluster, ["service", "logs", "--no-task-ids", "-t", "web"]), {
      code: 1,
      stdout: `2026-01-02T03:04:05.000000000Z ${"web.1@h1".padEnd(36)} | one\n`,
      stderr:
        `2026-01-02T03:04:05.000000000Z ${"web.1@h1".padEnd(36)} | two\n` +
        "swarmctl: The log is incomplete: node h3 is down\n",
    });
    const raw = await runCli(cluster, ["service", "logs", "--raw", task.id]);
    assert.equal(raw.stdout, "one\n");
    const missing = await runCli(cluster, ["service", "logs", "none"]);
    assert.equal(
      missing.stderr,
      'swarmctl: No service or task "none": see "swarmctl service ls"\n',
    );
  });
});

describe("version", () => {
  it("needs no daemon", async () => {
    const { code, stdout } = await runCli({ runRoot: "/nowhere" }, ["version"]);
    assert.equal(code, 0);
    assert.match(stdout, /^swarmctl \d+\.\d+\.\d+\nswarmd \(not reachable\)\n$/);
  });
});
