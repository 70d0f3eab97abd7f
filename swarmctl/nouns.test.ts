import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { LogStream } from "#proto/gen/swarm/v1/control_pb.ts";
import type { InitClusterRequest, JoinClusterRequest } from "#proto/gen/swarm/v1/node_pb.ts";
import { ClusterSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeAvailability, NodeRole, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { timestampFromMs } from "#proto/time.ts";
import { FakeCluster } from "./testing/fake-cluster.ts";
import { FakeControl } from "./testing/fake-control.ts";
import { aService, aServiceSpec, aTask, idOf, nowMs } from "./testing/objects.ts";
import { runCli } from "./testing/run-cli.ts";

const managers = ["172.31.0.1:2377"];

describe("cluster", () => {
  it("init says how workers join", async () => {
    const requests: InitClusterRequest[] = [];
    const initCluster = async (request: InitClusterRequest) => {
      requests.push(request);
      return { nodeId: "n1", workerJoinToken: "SWMTKN-1-w", managerAddress: "172.31.0.1:2377" };
    };
    await using cluster = await FakeCluster.open({ node: { initCluster } });
    const flags = ["--advertise-addr", "172.31.0.1", "--task-history-limit", "-1"];
    const { stdout } = await runCli(cluster, ["cluster", "init", ...flags]);
    assert.match(stdout, /^Swarm initialized: current node \(n1\) is now a manager\.$/m);
    assert.match(stdout, /^ {4}swarmctl cluster join --token SWMTKN-1-w 172\.31\.0\.1:2377$/m);
    assert.equal(requests[0]?.advertiseAddress, "172.31.0.1");
    assert.equal(requests[0]?.spec?.orchestration?.taskHistoryRetentionLimit, -1n);
  });

  it("join names the token, the managers and the availability", async () => {
    const requests: JoinClusterRequest[] = [];
    const joinCluster = async (request: JoinClusterRequest) => {
      requests.push(request);
      return { nodeId: "n2", role: NodeRole.WORKER };
    };
    await using cluster = await FakeCluster.open({ node: { joinCluster } });
    const { stdout } = await runCli(
      cluster,
      "cluster join --token SWMTKN-1-w --availability drain 10.0.0.1 10.0.0.2:2377".split(" "),
    );
    assert.equal(stdout, "This node (n2) joined a swarm as a worker.\n");
    assert.deepEqual(requests[0]?.managers, ["10.0.0.1", "10.0.0.2:2377"]);
    assert.equal(requests[0]?.availability, NodeAvailability.DRAIN);
  });

  it("join-token and info tell what others need", async () => {
    const rootCa = { joinTokens: { worker: "SWMTKN-1-w", manager: "SWMTKN-1-m" } };
    await using cluster = await FakeCluster.open({
      control: { getCluster: async () => ({ cluster: create(ClusterSchema, { rootCa }) }) },
      node: { getInfo: async () => ({ nodeId: "n1", connected: true, managers, version: "1" }) },
    });
    const token = await runCli(cluster, ["cluster", "join-token", "-q", "manager"]);
    assert.equal(token.stdout, "SWMTKN-1-m\n");
    const words = await runCli(cluster, ["cluster", "join-token", "worker"]);
    assert.match(words.stdout, /join --token SWMTKN-1-w 172\.31\.0\.1:2377/);
    const info = await runCli(cluster, ["cluster", "info"]);
    assert.match(info.stdout, /^Swarm: active\nNode ID: n1\n/);
    const json = await runCli(cluster, ["cluster", "info", "--format", "json"]);
    assert.deepEqual(JSON.parse(json.stdout).managers, managers);
  });
});

describe("node ls", () => {
  it("marks this host and the leader", async () => {
    await using cluster = await FakeCluster.open({
      control: new FakeControl().handlers,
      node: { getInfo: async () => ({ nodeId: idOf("h1") }) },
    });
    const { stdout } = await runCli(cluster, ["node", "ls"]);
    const [, first, second] = stdout.split("\n");
    assert.match(first ?? "", /^h1\w+ \* +h1 +Ready +Active +Leader +0\.1\.0$/);
    assert.match(second ?? "", /^h2\w+ +h2 +Ready +Active +0\.1\.0$/);
  });
});

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
