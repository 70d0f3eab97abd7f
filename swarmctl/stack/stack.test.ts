import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { mkdtempDisposable } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { NetworkAttachmentConfigSchema, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { FakeCluster } from "../testing/fake-cluster.ts";
import { FakeControl } from "../testing/fake-control.ts";
import { aService, aServiceSpec, aTask, idOf } from "../testing/objects.ts";
import { runCli } from "../testing/run-cli.ts";

const hello = fileURLToPath(import.meta.resolve("#stacks/hello.yml"));

describe("stack deploy", () => {
  it("creates what is missing, and the second time changes nothing", async () => {
    const control = new FakeControl();
    await using cluster = await FakeCluster.open({ control: control.handlers });
    const argv = ["stack", "deploy", "-c", hello, "hello"];
    assert.deepEqual(await runCli(cluster, argv), {
      code: 0,
      stdout:
        "Creating network hello_default\nCreating service hello_web\nCreating service hello_client\n",
      stderr: "",
    });
    assert.deepEqual(await runCli(cluster, argv), {
      code: 0,
      stdout: "Service hello_web is unchanged\nService hello_client is unchanged\n",
      stderr: "",
    });
  });

  it("makes secrets and configs before the services that read them, once, and takes them away", async () => {
    const control = new FakeControl();
    await using cluster = await FakeCluster.open({ control: control.handlers });
    const stdin = [
      "services: {web: {image: a, secrets: [db], configs: [conf]}}",
      "secrets: {db: {environment: DB}}",
      "configs: {conf: {content: x}}",
    ].join("\n");
    const options = { stdin, env: { DB: "hunter2" } };
    const { stdout } = await runCli(cluster, ["stack", "deploy", "-c", "-", "shop"], options);
    const made = "Creating secret shop_db\nCreating config shop_conf\n";
    assert.equal(stdout, `Creating network shop_default\n${made}Creating service shop_web\n`);
    const [secret] = control.secrets.values();
    assert.equal(Buffer.from(secret?.spec?.data ?? []).toString(), "hunter2");
    const again = await runCli(cluster, ["stack", "deploy", "-c", "-", "shop"], options);
    assert.equal(again.stdout, "Service shop_web is unchanged\n");
    const other = { stdin: stdin.replace("content: x", "content: y"), env: { DB: "hunter3" } };
    const rotated = await runCli(cluster, ["stack", "deploy", "-c", "-", "shop"], other);
    const steps = "Rotating secret shop_db\nRotating config shop_conf\n";
    assert.equal(rotated.stdout, `${steps}Updating service shop_web\n`);
    assert.equal(Buffer.from(secret?.spec?.data ?? []).toString(), "hunter3");
    const unset = await runCli(cluster, ["stack", "deploy", "-c", "-", "shop"], { stdin });
    assert.match(unset.stderr, /The variable "DB", from which "shop_db" shall come, is not set/);
    const removed = await runCli(cluster, ["stack", "rm", "shop"]);
    assert.match(removed.stdout, /Removing secret shop_db\nRemoving config shop_conf\n/);
    assert.equal(control.secrets.size + control.configs.size, 0);
  });

  const file = (image: string) => `services: {web: {image: ${image}}}`;
  const deploy = ["stack", "deploy", "-c", "-", "shop"];

  it("updates only what differs, and touches nobody else's", async () => {
    const control = new FakeControl();
    const others = aService(aServiceSpec("others"));
    control.services.set(others.id, others);
    await using cluster = await FakeCluster.open({ control: control.handlers });
    await runCli(cluster, deploy, { stdin: file("a:1") });
    const { stdout } = await runCli(cluster, deploy, { stdin: file("a:2") });
    assert.equal(stdout, "Updating service shop_web\n");
    assert.equal(control.services.get(others.id), others);
  });

  it("tries again when a manager wrote the service meanwhile", async () => {
    const control = new FakeControl();
    await using cluster = await FakeCluster.open({ control: control.handlers });
    await runCli(cluster, deploy, { stdin: file("a:1") });
    control.conflicts = 1;
    const outcome = await runCli(cluster, deploy, { stdin: file("a:2") });
    assert.equal(outcome.code, 0);
    assert.equal(control.conflicts, 0);
  });

  it("keeps a forced update, which no file can name", async () => {
    const control = new FakeControl();
    await using cluster = await FakeCluster.open({ control: control.handlers });
    await runCli(cluster, deploy, { stdin: file("a:1") });
    await runCli(cluster, ["service", "update", "-d", "--force", "shop_web"]);
    const { stdout } = await runCli(cluster, deploy, { stdin: file("a:1") });
    assert.equal(stdout, "Service shop_web is unchanged\n");
  });

  const refused: [string, string[], string | RegExp][] = [
    [
      "a changed network",
      ["services: {web: {image: a}}", "networks: {default: {internal: true}}"],
      /differs from the file \(\+ internal: true\) and cannot change while "shop_web" is on it/,
    ],
    [
      "a missing external network",
      ["services: {web: {image: a, networks: [n]}}", "networks: {n: {external: true}}"],
      /Network "n" is external/,
    ],
    [
      "somebody's service",
      ["services: {web: {image: a}}", "networks: {default: {name: elsewhere}}"],
      /^swarmctl: Service "shop_web" is there already and belongs to no stack/,
    ],
  ];
  for (const [what, lines, message] of refused) {
    it(`refuses ${what} before it changes anything`, async () => {
      const control = new FakeControl();
      await using cluster = await FakeCluster.open({ control: control.handlers });
      await runCli(cluster, [
        "network",
        "create",
        "--label",
        "com.docker.stack.namespace=shop",
        "shop_default",
      ]);
      if (!what.includes("external")) {
        const spec = aServiceSpec("shop_web");
        spec.task?.networks.push(create(NetworkAttachmentConfigSchema, { target: "shop_default" }));
        const taken = aService(spec);
        control.services.set(taken.id, taken);
      }
      const before = [...control.networks.keys(), ...control.services.keys()];
      const { code, stderr } = await runCli(cluster, deploy, { stdin: lines.join("\n") });
      assert.match(stderr, new RegExp(message));
      assert.equal(code, 1);
      assert.deepEqual([...control.networks.keys(), ...control.services.keys()], before);
    });
  }

  it("says what it would do, and the exit code whether that is anything", async () => {
    const control = new FakeControl();
    await using cluster = await FakeCluster.open({ control: control.handlers });
    const diff = ["stack", "diff", "-c", "-", "shop"];
    const fresh = await runCli(cluster, diff, { stdin: file("a:1") });
    assert.equal(fresh.code, 1);
    assert.match(fresh.stdout, /^network shop_default would be created\n  \+ annotations.name: /);
    assert.match(fresh.stdout, /^service shop_web would be created$/m);
    assert.equal(control.services.size + control.networks.size, 0);
    await runCli(cluster, deploy, { stdin: file("a:1") });
    const same = await runCli(cluster, diff, { stdin: file("a:1") });
    assert.deepEqual(same, { code: 0, stdout: "", stderr: "" });
    const [service] = control.services.values();
    assert.ok(service !== undefined);
    const task = aTask(service, { slot: 1n, state: TaskState.RUNNING });
    control.tasks.set(task.id, task);
    for (const argv of [diff, [...deploy, "--dry-run"]]) {
      const { code, stdout } = await runCli(cluster, argv, { stdin: file("a:2") });
      assert.equal(code, 1);
      const lines = [
        "service shop_web would be updated",
        '  ~ annotations.labels[com.docker.stack.image]: "a:1" -> "a:2"',
        '  ~ task.container.image: "a:1" -> "a:2"',
        "  1 task would be replaced: shop_web.1",
      ];
      assert.equal(stdout, `${lines.join("\n")}\n`);
    }
    const quiet = await runCli(cluster, [...diff, "-q"], { stdin: file("a:2") });
    assert.deepEqual(quiet, { code: 1, stdout: "", stderr: "" });
    const json = await runCli(cluster, [...diff, "--format", "json"], { stdin: file("a:2") });
    const [change] = JSON.parse(json.stdout) as { readonly name: string }[];
    assert.deepEqual(change, {
      ...change,
      noun: "service",
      name: "shop_web",
      change: "updated",
      replacedTasks: ["shop_web.1"],
    });
    const wrong = await runCli(cluster, diff, { stdin: "services: 1" });
    assert.deepEqual([wrong.code, wrong.stdout], [2, ""]);
    assert.match(wrong.stderr, /services must be a map/);
  });

  it("names the line of the file that a manager refuses", async () => {
    const control = new FakeControl();
    const message =
      "endpoint.ports[0] publishes port 80/tcp, which the managers use: choose another";
    const createService = () => Promise.reject(new Fault("invalid-argument", message));
    await using cluster = await FakeCluster.open({
      control: { ...control.handlers, createService },
    });
    const stdin = "services:\n  web:\n    image: a\n    ports:\n      - 80:80\n";
    const { code, stderr } = await runCli(cluster, ["stack", "deploy", "-c", "-", "s"], { stdin });
    assert.equal(code, 1);
    assert.equal(stderr, `swarmctl: stdin:5:9: Cannot create service "s_web": ${message}\n`);
  });

  it("lets two services exchange their ports", async () => {
    const control = new FakeControl();
    await using cluster = await FakeCluster.open({ control: control.handlers });
    const deploy = async (a: number, b: number) => {
      const stdin = `services: {a: {image: x, ports: ["${a}:1"]}, b: {image: x, ports: ["${b}:1"]}}`;
      return await runCli(cluster, ["stack", "deploy", "-c", "-", "s"], { stdin });
    };
    await deploy(80, 81);
    const { code, stdout } = await deploy(81, 80);
    assert.equal(code, 0);
    assert.match(
      stdout,
      /^Taking ports from service s_a, which another service gets\nUpdating service s_b\nUpdating service s_a\n$/,
    );
    assert.deepEqual(
      ["s_a", "s_b"].map(
        (name) => control.services.get(idOf(name))?.spec?.endpoint?.ports[0]?.publishedPort,
      ),
      [81, 80],
    );
  });

  it("takes several files, the later over the earlier, and variables", async () => {
    const control = new FakeControl();
    await using cluster = await FakeCluster.open({ control: control.handlers });
    await using folder = await mkdtempDisposable(join(tmpdir(), "stack-"));
    const files = [
      "services: {web: {image: '${IMAGE}', hostname: a}}",
      "services: {web: {hostname: b}}",
    ];
    const paths = files.map((text, index) => {
      const path = join(folder.path, `${index}.yml`);
      writeFileSync(path, text);
      return path;
    });
    writeFileSync(join(folder.path, ".env"), "IMAGE=nginx\n");
    const argv = ["stack", "deploy", ...paths.flatMap((path) => ["-c", path]), "shop"];
    assert.equal((await runCli(cluster, argv)).code, 0);
    const runtime = [...control.services.values()][0]?.spec?.task?.runtime;
    assert.ok(runtime?.case === "container");
    assert.deepEqual([runtime.value.image, runtime.value.hostname], ["nginx", "b"]);
  });

  it("prunes what the file does not name", async () => {
    const control = new FakeControl();
    await using cluster = await FakeCluster.open({ control: control.handlers });
    const more = "services: {web: {image: a}, old: {image: a}}\nconfigs: {c: {content: x}}";
    await runCli(cluster, deploy, { stdin: more });
    const { stdout } = await runCli(cluster, [...deploy, "--prune"], { stdin: file("a") });
    assert.equal(
      stdout,
      "Removing service shop_old\nService shop_web is unchanged\nRemoving config shop_c\n",
    );
    assert.deepEqual([control.services.size, control.configs.size], [1, 0]);
  });

  it("shows where a file is wrong, without needing a cluster", async () => {
    const outcome = await runCli({ runRoot: "/nowhere" }, deploy, { stdin: "services:\n\tweb:\n" });
    assert.deepEqual(outcome, {
      code: 1,
      stdout: "",
      stderr:
        "swarmctl: stdin:2:1: tab characters must not be used in indentation: indent with spaces\n",
    });
  });

  it("refuses a bad stack name and a missing file", async () => {
    const nowhere = { runRoot: "/nowhere" };
    const name = await runCli(nowhere, ["stack", "deploy", "-c", "a", "x y"]);
    assert.equal(name.code, 2);
    const missing = await runCli(nowhere, ["stack", "deploy", "-c", "/nowhere/a.yml", "x"]);
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /^swarmctl: Cannot read "\/nowhere\/a\.yml": /);
  });
});

describe("stack ls, services, ps and rm", () => {
  it("tell of the stack and take it away", async () => {
    const control = new FakeControl();
    await using cluster = await FakeCluster.open({ control: control.handlers });
    await runCli(cluster, ["stack", "deploy", "-c", hello, "hello"]);
    const list = await runCli(cluster, ["stack", "ls"]);
    assert.equal(list.stdout, "NAME    SERVICES\nhello   2\n");
    const services = await runCli(cluster, ["stack", "services", "hello"]);
    assert.match(
      services.stdout,
      /hello_client +replicated +0\/1 .*\n.*hello_web +replicated +0\/3/,
    );
    const tasks = await runCli(cluster, ["stack", "ps", "hello"]);
    assert.match(tasks.stdout, /^ID +NAME/);
    const removal = await runCli(cluster, ["stack", "rm", "hello"]);
    assert.equal(
      removal.stdout,
      "Removing service hello_web\nRemoving service hello_client\nRemoving network hello_default\n",
    );
    assert.deepEqual(await runCli(cluster, ["stack", "ls", "-q"]), {
      code: 0,
      stdout: "",
      stderr: "",
    });
  });

  it("say that there is no such stack", async () => {
    await using cluster = await FakeCluster.open({ control: new FakeControl().handlers });
    const nothing = 'Nothing found in stack "none": see "swarmctl stack ls"\n';
    for (const verb of ["services", "ps"]) {
      const { code, stderr } = await runCli(cluster, ["stack", verb, "none"]);
      assert.deepEqual([code, stderr], [1, `swarmctl: ${nothing}`]);
    }
    const { code, stderr } = await runCli(cluster, ["stack", "rm", "none"]);
    assert.deepEqual([code, stderr], [0, nothing], "it is as it was to be");
  });
});
