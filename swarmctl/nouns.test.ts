import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { LogStream } from "#proto/gen/swarm/v1/control_pb.ts";
import { EndpointSchema, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { localNetwork } from "#proto/main-network.ts";
import { timestampFromMs } from "#proto/time.ts";
import { FakeCluster } from "./testing/fake-cluster.ts";
import { FakeControl } from "./testing/fake-control.ts";
import { aService, aServiceSpec, aTask, idOf, nowMs } from "./testing/objects.ts";
import { runCli } from "./testing/run-cli.ts";

const words = (line: string) => line.split(" ");

describe("network", () => {
  it("is created with its subnet, listed, inspected and removed", async () => {
    const control = new FakeControl();
    await using cluster = await FakeCluster.open({ control: control.handlers });
    const line = "network create --subnet 10.9.0.0/24 --gateway 10.9.0.1 --internal back";
    assert.equal((await runCli(cluster, words(line))).code, 0);
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

  it("is created with IPv6, options and what lies in each of its subnets", async () => {
    const control = new FakeControl();
    await using cluster = await FakeCluster.open({ control: control.handlers });
    const line =
      "network create --ipv6 --subnet 10.9.0.0/16 --subnet fd00:9::/64 --gateway fd00:9::fe --gateway 10.9.0.9 --ip-range 10.9.4.0/24 --aux-address nas=10.9.4.7 --ingress -o encrypted -o com.docker.network.driver.mtu=1400 mesh";
    assert.equal((await runCli(cluster, words(line))).code, 0);
    const [network] = JSON.parse((await runCli(cluster, ["network", "inspect", "mesh"])).stdout);
    const { ipam, driverConfig, ...flags } = network.spec;
    assert.deepEqual(ipam.configs, [
      {
        subnet: "10.9.0.0/16",
        gateway: "10.9.0.9",
        range: "10.9.4.0/24",
        reserved: { nas: "10.9.4.7" },
      },
      { subnet: "fd00:9::/64", gateway: "fd00:9::fe" },
    ]);
    assert.deepEqual(driverConfig.options, {
      encrypted: "",
      "com.docker.network.driver.mtu": "1400",
    });
    assert.deepEqual([flags.ipv6Enabled, flags.ingress, flags.encrypted], [true, true, true]);
  });

  for (const [flags, message] of [
    ["--gateway 10.9.0.1", /--gateway 10\.9\.0\.1 is in no --subnet/],
    ["--subnet 10.9.0.0/24 --ip-range fd00::/64", /--ip-range fd00::\/64 is in no --subnet/],
    [
      "--subnet 10.9.0.0/24 --aux-address a=10.9.0.2 --aux-address a=10.9.0.3",
      /is a second "a", after 10\.9\.0\.2/,
    ],
    ["--subnet 10.9.0.0/24 --aux-address a=10.8.0.1", /--aux-address a=10\.8\.0\.1 is in no/],
    ["--subnet 10.9.0.0/24 --gateway 10.9.0.1 --gateway 10.9.0.2", /is a second one of 10\.9/],
    ["--subnet 10.9.0.1/24", /has host bits set: write 10\.9\.0\.0\/24/],
    ["--subnet fd00::/64 --gateway fd00::x", /"fd00::x" is not an IPv6 address/],
    ["--opt encrypted=perhaps", /"encrypted" is "perhaps": use true or false/],
  ] as const) {
    it(`is not created with ${flags}`, async () => {
      const argv = ["network", "create", ...flags.split(" "), "back"];
      const { code, stderr } = await runCli({ runRoot: "/nowhere" }, argv);
      assert.equal(code, 2);
      assert.match(stderr, message);
    });
  }

  it("of each host is listed as local", async () => {
    const control = new FakeControl();
    control.networks.set("bridge", localNetwork("bridge"));
    await using cluster = await FakeCluster.open({ control: control.handlers });
    const { stdout } = await runCli(cluster, ["network", "ls"]);
    assert.match(stdout, /^bridge +bridge +bridge +local$/m);
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

  it("publishes ports and is on networks, by flags of creation and of updates", async () => {
    const control = new FakeControl();
    await using cluster = await FakeCluster.open({ control: control.handlers });
    const run = async (line: string) => {
      const outcome = await runCli(cluster, words(line));
      assert.equal(outcome.code, 0, outcome.stderr);
      return outcome.stdout;
    };
    for (const name of ["front", "back", "third"]) await run(`network create ${name}`);
    await run(
      "service create -d --name web -p 8080:80 --publish 127.0.0.1:9:9/udp --network front --network name=back,ip=10.0.0.5 --endpoint-affinity client-ip busybox",
    );
    const spec = async () => JSON.parse(await run("service inspect web"))[0].spec;
    const made = await spec();
    assert.deepEqual(made.endpoint, {
      affinity: "ENDPOINT_AFFINITY_CLIENT_IP",
      ports: [
        { targetPort: 80, publishedPort: 8080 },
        {
          targetPort: 9,
          publishedPort: 9,
          protocol: "PORT_PROTOCOL_UDP",
          publishMode: "PUBLISH_MODE_HOST",
          hostIp: "127.0.0.1",
        },
      ],
    });
    await run(
      `service update -d --publish-add 8443:443 --publish-rm 9/udp --network-rm ${idOf("front")} --network-add third --endpoint-affinity none --endpoint-mode dnsrr web`,
    );
    const after = await spec();
    assert.deepEqual(after.endpoint, {
      mode: "ENDPOINT_MODE_DNSRR",
      ports: [
        { targetPort: 80, publishedPort: 8080 },
        { targetPort: 443, publishedPort: 8443 },
      ],
    });
    assert.deepEqual(after.task.networks, [
      { target: "back", addresses: ["10.0.0.5"] },
      { target: "third" },
    ]);
    const wrong = await runCli(cluster, words("service update -d --network-rm front web"));
    assert.equal(
      wrong.stderr,
      'swarmctl: Cannot take out network "front": the service is not on it\n',
    );
  });

  it("is shown to people with its ports and virtual addresses", async () => {
    const control = new FakeControl();
    await using cluster = await FakeCluster.open({ control: control.handlers });
    await runCli(cluster, words("network create front"));
    const web = aService(aServiceSpec("web", 3n));
    web.endpoint = create(EndpointSchema, {
      ports: [{ targetPort: 80, publishedPort: 30_000 }],
      virtualIps: [{ networkId: idOf("front"), address: "10.0.16.2/24" }],
    });
    control.services.set(web.id, web);
    const { stdout } = await runCli(cluster, words("service inspect --pretty web"));
    assert.match(stdout, /^Name: +web$/m);
    assert.match(stdout, /^Virtual IPs\n {2}front: +10\.0\.16\.2\/24$/m);
    assert.match(stdout, /^Ports\n {2}PublishedPort: +30000\n {4}Protocol: +tcp\n/m);
    assert.match((await runCli(cluster, words("service ls"))).stdout, / \*:30000->80\/tcp$/m);
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
