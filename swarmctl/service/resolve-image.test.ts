import assert from "node:assert/strict";
import { it } from "node:test";
import { FakeCluster } from "../testing/fake-cluster.ts";
import { FakeControl } from "../testing/fake-control.ts";
import { runCli } from "../testing/run-cli.ts";

const file = (image: string) => `services: {web: {image: "${image}"}}`;

it("images are resolved when they are named, unless the user says otherwise", async () => {
  const control = new FakeControl();
  await using cluster = await FakeCluster.open({ control: control.handlers });
  const asks = async (argv: readonly string[], stdin = "") => {
    control.queries.length = 0;
    const { code, stderr } = await runCli(cluster, argv, { stdin });
    assert.equal(code, 0, stderr);
    return control.queries;
  };
  const update = ["service", "update", "-d"];
  assert.deepEqual(await asks(["service", "create", "-d", "--name", "a", "a"]), [true]);
  const created = ["service", "create", "-d", "--name", "b", "--no-resolve-image", "a"];
  assert.deepEqual(await asks(created), [false]);
  assert.deepEqual(await asks([...update, "--image", "a:1", "a"]), [true]);
  assert.deepEqual(await asks([...update, "--image", "a:2", "--no-resolve-image", "a"]), [false]);
  assert.deepEqual(await asks([...update, "--force", "a"]), [false]);
  assert.deepEqual(await asks(["service", "scale", "-d", "a=2"]), [false]);
  const deploy = ["stack", "deploy", "-c", "-"];
  assert.deepEqual(await asks([...deploy, "shop"], file("a")), [true]);
  assert.deepEqual(await asks([...deploy, "shop"], file("a")), [true]);
  assert.deepEqual(await asks([...deploy, "--resolve-image", "changed", "shop"], file("a")), []);
  assert.deepEqual(await asks([...deploy, "--resolve-image", "changed", "shop"], file("b")), [
    true,
  ]);
  assert.deepEqual(await asks([...deploy, "--resolve-image", "never", "shop"], file("c")), [false]);
});

it("what managers warn of is for stderr alone", async () => {
  const control = new FakeControl();
  control.warnings = ["image a could not be accessed", "The reason: it is away"];
  await using cluster = await FakeCluster.open({ control: control.handlers });
  const said = "image a could not be accessed\nThe reason: it is away\n";
  for (const argv of [
    ["service", "create", "-d", "--name", "a", "a"],
    ["service", "update", "-d", "--image", "a:1", "a"],
  ]) {
    const { code, stdout, stderr } = await runCli(cluster, argv);
    assert.deepEqual([code, stderr], [0, said]);
    assert.ok(!stdout.includes("accessed"));
  }
  const deployed = await runCli(cluster, ["stack", "deploy", "-c", "-", "shop"], {
    stdin: file("a"),
  });
  assert.equal(deployed.stderr, said);
});

it("lists show an image as Docker does, and inspect all of it", async () => {
  const control = new FakeControl();
  await using cluster = await FakeCluster.open({ control: control.handlers });
  const digest = `@sha256:${"a".repeat(64)}`;
  for (const [image, shown] of [
    [`docker.io/library/nginx:latest${digest}`, "nginx:latest"],
    [`docker.io/team/app:1${digest}`, "team/app:1"],
    [`registry.test:5000/app:1${digest}`, "registry.test:5000/app:1"],
    ["registry.test:5000/app", "registry.test:5000/app"],
    [`app${digest}`, `app${digest}`],
  ] as const) {
    control.services.clear();
    await runCli(cluster, ["service", "create", "-d", "--name", "a", image]);
    const { stdout } = await runCli(cluster, ["service", "ls"]);
    assert.equal(stdout.split("\n")[1]?.split(/\s+/)[4], shown);
    assert.ok((await runCli(cluster, ["service", "inspect", "a"])).stdout.includes(`"${image}"`));
  }
});
