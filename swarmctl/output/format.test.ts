import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import { type Service, TaskSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NetworkSchema, UpdateState, UpdateStatusSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Handlers } from "#proto/grpc.ts";
import { timestampFromMs } from "#proto/time.ts";
import { FakeCluster } from "../testing/fake-cluster.ts";
import { aNode, aService, aServiceSpec, idOf, nowMs } from "../testing/objects.ts";
import { runCli } from "../testing/run-cli.ts";
import { filtered, type Filters, hasLabel } from "./filter.ts";
import { messageField, messageValue } from "./message-value.ts";
import { Template } from "./template/template.ts";

const web: Service = aService(aServiceSpec("web", 3n));
if (web.spec?.annotations !== undefined) web.spec.annotations.labels = { role: "front" };
web.updateStatus = create(UpdateStatusSchema, {
  state: UpdateState.ROLLBACK_STARTED,
  startedAt: timestampFromMs(nowMs),
});

describe("--format of inspect", () => {
  const control: Partial<Handlers<typeof ControlService>> = {
    getService: async () => ({ service: web }),
  };
  const print = async (format: string) => {
    await using cluster = await FakeCluster.open({ control });
    return await runCli(cluster, ["service", "inspect", "--format", format, "web"]);
  };

  for (const [format, text] of [
    ["{{.ID}} {{.id}}", `${web.id} ${web.id}`],
    ["{{.Spec.Name}} {{.spec.annotations.name}}", "web web"],
    ["{{.Spec.Mode.Replicated.Replicas}}", "3"],
    ["{{.Spec.TaskTemplate.ContainerSpec.Image}}", "registry:5000/busybox:1"],
    [
      "{{.UpdateStatus.State}} {{.UpdateStatus.StartedAt}}",
      "rollback_started 2026-01-02T03:04:05Z",
    ],
    ["{{.Spec.Labels.role}} {{.PreviousSpec}}", "front <no value>"],
    ["{{.Version.Index}}", "1"],
    ["{{json .Spec.Labels}}", '{"role":"front"}'],
  ] as const) {
    it(format, async () => {
      assert.deepEqual(await print(format), { code: 0, stdout: `${text}\n`, stderr: "" });
    });
  }

  it("steers no terminal by what others named", async () => {
    const steering = aService(aServiceSpec("web"));
    const annotations = steering.spec?.annotations;
    if (annotations !== undefined) annotations.labels = { x: "\x1b[31mred\u009b0m" };
    const getService = async () => ({ service: steering });
    const listNetworks = async () => ({ networks: [] });
    await using cluster = await FakeCluster.open({ control: { getService, listNetworks } });
    for (const words of [["--pretty"], ["--format", "{{.Spec.Labels.x}}"], ["--format", "json"]]) {
      const { stdout } = await runCli(cluster, ["service", "inspect", ...words, "web"], {
        isTTY: true,
      });
      assert.match(stdout, /\[31mred 0m/);
      assert.doesNotMatch(stdout.replaceAll("\n", ""), /\p{Cc}/u);
    }
  });

  it("json prints one object a line", async () => {
    const { stdout } = await print("json");
    assert.equal(stdout.trimEnd().split("\n").length, 1);
    assert.equal(JSON.parse(stdout).spec.annotations.name, "web");
  });

  it("names a field that there is not, and what there is", async () => {
    const { code, stderr } = await print("{{.Spec.Nane}}");
    assert.equal(code, 1);
    assert.match(stderr, /At character 3 .*no field "\.Nane".*: there are annotations, task, /);
  });
});

describe("--format of lists", () => {
  const control: Partial<Handlers<typeof ControlService>> = {
    listNodes: async () => ({ nodes: [aNode("h1", true), aNode("漢字")] }),
  };
  const print = async (...words: string[]) => {
    await using cluster = await FakeCluster.open({ control });
    return await runCli(cluster, ["node", "ls", ...words]);
  };

  it("prints a template for each object", async () => {
    const { stdout } = await print("--format", "{{.Hostname}}\\t{{.ManagerStatus}}");
    assert.equal(stdout, "h1\tLeader\n漢字\t\n");
  });

  it("prints a heading and columns with table", async () => {
    const { stdout } = await print("--format", "table {{.Hostname}}\\t{{lower .Status}}");
    assert.equal(stdout, "HOSTNAME   STATUS\nh1         ready\n漢字       ready\n");
  });

  it("prints all fields with json, one object a line, as Docker", async () => {
    const { stdout } = await print("--format", "{{json .}}");
    const objects = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      objects.map(({ Hostname, Self }) => [Hostname, Self]),
      [
        ["h1", false],
        ["漢字", false],
      ],
    );
    assert.equal((await print("--format", "json")).stdout, stdout);
    assert.equal((await print("--format", "json", "-q")).stdout, stdout);
  });

  it("prints nothing with json where there is nothing", async () => {
    await using cluster = await FakeCluster.open({
      control: { listNetworks: async () => ({ networks: [] }) },
    });
    const { stdout } = await runCli(cluster, ["network", "ls", "--format", "json"]);
    assert.equal(stdout, "");
  });

  it("refuses what it does not understand before it asks anybody", async () => {
    const one = await print("--format", "{{.Hostname");
    assert.equal(one.code, 2);
    assert.match(one.stderr, /--format .*At character 1 of the template: This \{\{ has no \}\}/);
    assert.match((await print("--format", "jsn")).stderr, /Write table, json or a template/);
    const unknown = await print("--format", "{{.Nme}}");
    assert.match(unknown.stderr, /There is no field "\.Nme".*: there are ID, Hostname, Status/);
  });

  it("says in -q what templates say, as Docker", async () => {
    const { stdout } = await print("-q", "--format", "{{.ID}}!");
    assert.equal(stdout, `${idOf("h1")}!\n${idOf("漢字")}!\n`);
  });
});

describe("message values", () => {
  it("have every field, and tell oneofs apart", () => {
    const value = messageValue(TaskSchema, create(TaskSchema, { id: "a" }));
    assert.equal(value["slot"], 0);
    assert.equal(value["spec"], null);
    const print = (template: string) => new Template(template).run(value, messageField);
    assert.equal(print("{{.DesiredState}}"), "new");
    assert.equal(
      print("{{.Status.ContainerStatus.PID}} {{len .NetworksAttachments}}"),
      "<no value> 0",
    );
  });
});

it("templates name a network's driver as Docker does", () => {
  const options = { encrypted: "" };
  const network = create(NetworkSchema, { driverState: { name: "overlay", options } });
  const value = messageValue(NetworkSchema, network);
  const print = (template: string) => new Template(template).run(value, messageField);
  assert.equal(print("{{.Driver}} {{json .Options}}"), 'overlay {"encrypted":""}');
});

describe("filters", () => {
  const filters: Filters<{ readonly name: string; readonly labels: Record<string, string> }> = {
    name: ({ name }, value) => name.startsWith(value),
    label: ({ labels }, value) => hasLabel(labels, value),
  };
  const items = [
    { name: "web", labels: { a: "1", b: "2" } },
    { name: "db", labels: { a: "1" } },
  ];
  const names = (...given: [string, string][]) =>
    filtered(items, { filter: given.map(([key, value]) => ({ key, value })) }, filters).map(
      ({ name }) => name,
    );

  it("take any value of one key, and all keys", () => {
    assert.deepEqual(names(["name", "w"], ["name", "d"]), ["web", "db"]);
    assert.deepEqual(names(["name", "w"], ["name", "d"], ["label", "b"]), ["web"]);
    assert.deepEqual(names(["label", "a=1"], ["label", "b"]), ["web"]);
    assert.deepEqual(names(["label", "a=2"]), []);
  });

  it("are refused by value where there are no others", async () => {
    const refusals: readonly (readonly [string, RegExp])[] = [
      ["node ls -f role=boss", /There is no role "boss": there are worker, manager/],
      ["node ls -f availability=off", /no availability "off": there are active, pause, drain/],
      ["service ls -f mode=globl", /There is no mode "globl": there are replicated, global,/],
    ];
    const control = {
      listNodes: async () => ({ nodes: [] }),
      listServices: async () => ({ services: [], statuses: [] }),
    };
    await using cluster = await FakeCluster.open({ control });
    for (const [words, message] of refusals) {
      const { code, stderr } = await runCli(cluster, words.split(" "));
      assert.equal(code, 1);
      assert.match(stderr, message);
    }
  });

  it("are refused by name where there is none", async () => {
    await using cluster = await FakeCluster.open({ control: {} });
    const { code, stderr } = await runCli(cluster, ["secret", "ls", "--filter", "nmae=x"]);
    assert.equal(code, 2);
    assert.match(stderr, /no filter "nmae", did you mean name\? There are id, name, label/);
  });
});
