/** Volumes under real containers and real mounts. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type MountSchema, MountType, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TestNode } from "../task/testing/test-node.ts";
import { readMountPoints } from "./mount-table.ts";

const timeout = 60_000;

type MountInit = MessageInitShape<typeof MountSchema>;

const volume = (source: string, init: MountInit = {}): MountInit => ({
  type: MountType.VOLUME,
  source,
  target: "/data",
  ...init,
});

/** A task that runs a script and stays until it is told to end. */
function running(node: TestNode, script: string, mounts: MountInit[]): Task {
  const args = ["sh", "-c", `${script}; echo done; exec sleep 1000`];
  return node.task({ args, mounts, stopSignal: "SIGKILL" });
}

async function outputOf(node: TestNode, script: string, mounts: MountInit[]): Promise<string[]> {
  const task = node.task({ args: ["sh", "-c", script], mounts });
  node.worker.assign([task]);
  const { err } = await node.until(task.id, ({ state }) => state > TaskState.RUNNING);
  const lines: string[] = [];
  for await (const messages of node.worker.logs(task.id, undefined, new AbortController().signal)) {
    for (const { data } of messages) lines.push(Buffer.from(data).toString());
  }
  await node.removeAll();
  return err === "" ? lines : [...lines, err];
}

const rejected = async (node: TestNode, mounts: MountInit[]): Promise<string> => {
  const task = node.task({ args: ["true"], mounts });
  node.worker.assign([task]);
  const { err } = await node.untilState(task.id, TaskState.REJECTED);
  await node.removeAll();
  return err;
};

function layerOf(node: TestNode): string {
  return node.image.layers.at(-1) ?? "";
}

async function mountsBelow(folder: string): Promise<readonly string[]> {
  return (await readMountPoints()).filter((point) => point.startsWith(folder));
}

test("volume, keeps its data from task to task, and goes only when nobody has it", {
  timeout,
}, async () => {
  await using node = new TestNode();
  const { volumes } = await node.open();
  assert.deepEqual(await outputOf(node, "echo hello >/data/x", [volume("named")]), []);
  assert.deepEqual(await outputOf(node, "cat /data/x", [volume("named", { readOnly: true })]), [
    "hello",
  ]);
  const task = running(node, "true", [volume("named")]);
  node.worker.assign([task]);
  await node.untilState(task.id, TaskState.RUNNING);
  assert.deepEqual(volumes.usersOf("named"), [task.id]);
  await assert.rejects(volumes.remove("named"), { message: /^Cannot remove volume "named": task/ });
  await node.removeAll();
  await volumes.remove("named");
  assert.deepEqual(volumes.list(), []);
  assert.deepEqual(readdirSync(join(node.root, "agent/volumes")), [".uses"]);
});

test("volume, an empty one gets what the image has at its place, with owners and modes", {
  timeout,
}, async () => {
  await using node = new TestNode();
  const base = layerOf(node);
  const top = join(node.root, "top");
  for (const layer of [base, top]) mkdirSync(join(layer, "srv/app"), { recursive: true });
  writeFileSync(join(base, "srv/app/lower"), "lower");
  writeFileSync(join(top, "srv/app/upper"), "upper", { mode: 0o640 });
  chownSync(join(top, "srv/app/upper"), 7, 8);
  chownSync(join(top, "srv/app"), 1000, 1001);
  chmodSync(join(top, "srv/app"), 0o1770);
  symlinkSync("/srv/app", join(base, "data"));
  symlinkSync("/etc/passwd", join(top, "srv/app/link"));
  node.image = { ...node.image, layers: [base, top] };
  const { volumes } = await node.open();
  await outputOf(node, "echo changed >/data/lower", [volume("full")]);
  const data = volumes.mountpointOf("full");
  assert.deepEqual(readdirSync(data).toSorted(), ["link", "lower", "upper"]);
  assert.equal(readFileSync(join(data, "lower"), "utf8"), "changed\n");
  const { uid, gid, mode } = statSync(data);
  assert.deepEqual([uid, gid, mode & 0o7777], [1000, 1001, 0o1770]);
  const upper = statSync(join(data, "upper"));
  assert.deepEqual([upper.uid, upper.gid, upper.mode & 0o7777], [7, 8, 0o640]);
  await outputOf(node, "true", [volume("bare", { volumeOptions: { noCopy: true } })]);
  assert.deepEqual(readdirSync(volumes.mountpointOf("bare")), []);
});

test("volume, an image's link out of itself shows nothing of the host", { timeout }, async () => {
  await using node = new TestNode();
  const secret = mkdtempSync(join(tmpdir(), "swarm-host-"));
  writeFileSync(join(secret, "key"), "host");
  symlinkSync(secret, join(layerOf(node), "data"));
  mkdirSync(join(layerOf(node), "sub"));
  symlinkSync(`../../../../../..${secret}`, join(layerOf(node), "sub/up"));
  const { volumes } = await node.open();
  const mounts = [volume("out"), volume("up", { target: "/sub/up" })];
  await outputOf(node, "true", mounts);
  for (const name of ["out", "up"]) assert.deepEqual(readdirSync(volumes.mountpointOf(name)), []);
  rmSync(secret, { recursive: true });
});

test("volume, a copy that was cut short is done again", { timeout }, async () => {
  await using node = new TestNode();
  mkdirSync(join(layerOf(node), "data"));
  writeFileSync(join(layerOf(node), "data/one"), "whole");
  const { volumes } = await node.open();
  await volumes.create({ name: "half" });
  const data = volumes.mountpointOf("half");
  writeFileSync(join(data, "one"), "wh");
  writeFileSync(join(data, "..", "copying"), "");
  await outputOf(node, "true", [volume("half")]);
  assert.equal(readFileSync(join(data, "one"), "utf8"), "whole");
  assert.ok(!existsSync(join(data, "..", "copying")));
  writeFileSync(join(data, "one"), "mine");
  await outputOf(node, "true", [volume("half")]);
  assert.equal(readFileSync(join(data, "one"), "utf8"), "mine");
});

test("volume, one that cannot keep attributes gets the image's files without them", {
  timeout,
}, async () => {
  await using node = new TestNode();
  mkdirSync(join(layerOf(node), "data"));
  const file = join(layerOf(node), "data/one");
  writeFileSync(file, "whole");
  execFileSync("setfattr", ["-n", "trusted.swarm", "-v", "x", file]);
  await node.open();
  const driverConfig = { options: { type: "ramfs", device: "ramfs" } };
  const bare = volume("bare", { volumeOptions: { driverConfig } });
  assert.deepEqual(await outputOf(node, "cat /data/one", [bare]), ["whole"]);
});

test("volume, a link that another container put there leads no copy into the host", {
  timeout,
}, async () => {
  await using node = new TestNode();
  mkdirSync(join(layerOf(node), "data"));
  writeFileSync(join(layerOf(node), "data/one"), "the image's");
  const { volumes } = await node.open();
  await volumes.create({ name: "shared" });
  const data = volumes.mountpointOf("shared");
  const file = join(node.root, "of-the-host");
  writeFileSync(file, "the host's");
  symlinkSync(file, join(data, "one"));
  writeFileSync(join(data, "..", "copying"), "");
  await outputOf(node, "true", [volume("shared")]);
  assert.equal(readFileSync(file, "utf8"), "the host's");
});

test("volume, one without a name and one that the image declares go with their container", {
  timeout,
}, async () => {
  await using node = new TestNode();
  const config = { ...node.image.config, volumes: ["/declared", "/data/"] };
  node.image = { ...node.image, config };
  const { volumes } = await node.open();
  const task = running(node, "true", [volume("", { target: "/mine" }), volume("named")]);
  node.worker.assign([task]);
  await node.untilState(task.id, TaskState.RUNNING);
  const names = volumes.list().map(({ name }) => name);
  assert.equal(names.filter((name) => /^[0-9a-f]{64}$/.test(name)).length, 2);
  assert.equal(names.length, 3);
  await node.close();
  // As after a crash: who has what is known again.
  await node.open();
  assert.equal(node.worker.volumes.tasks().length, 1);
  await node.removeAll();
  assert.deepEqual(
    node.worker.volumes.list().map(({ name }) => name),
    ["named"],
  );
});

test("volume, a part of one is mounted alone, and no link leads out of it", {
  timeout,
}, async () => {
  await using node = new TestNode();
  const { volumes } = await node.open();
  await outputOf(
    node,
    "mkdir -p /data/a/b && echo in >/data/a/b/x && ln -s / /data/root && ln -s a /data/l",
    [volume("parts")],
  );
  const part = (subpath: string) => [volume("parts", { volumeOptions: { subpath } })];
  assert.deepEqual(await outputOf(node, "cat /data/x", part("a/b")), ["in"]);
  assert.deepEqual(await outputOf(node, "cat /data", part("a/b/x")), ["in"]);
  assert.match(
    (await outputOf(node, "true", part("root/etc")))[0] ?? "",
    /leads through the link "root"/,
  );
  assert.match((await outputOf(node, "true", part("l/b")))[0] ?? "", /leads through the link "l"/);
  assert.match((await outputOf(node, "true", part("a/none")))[0] ?? "", /there is no "none"/);
  const task = running(node, "true", part("a"));
  node.worker.assign([task]);
  await node.untilState(task.id, TaskState.RUNNING);
  assert.equal((await mountsBelow(join(node.root, "run/volumes"))).length, 1);
  await node.removeAll();
  assert.deepEqual(await mountsBelow(node.root), []);
  assert.deepEqual(readdirSync(join(node.root, "run/volumes")), []);
  await volumes.remove("parts");
});

test("volume, what its options name is mounted from the first use to the last", {
  timeout,
}, async () => {
  await using node = new TestNode();
  const { volumes } = await node.open();
  const options = { type: "tmpfs", device: "tmpfs", o: "size=1m,mode=0750" };
  const small = volume("small", { volumeOptions: { driverConfig: { name: "local", options } } });
  const tasks = [1, 2].map(() => running(node, "mount | grep /data", [small]));
  node.worker.assign(tasks);
  for (const { id } of tasks) await node.untilState(id, TaskState.RUNNING);
  const data = volumes.mountpointOf("small");
  assert.deepEqual(await mountsBelow(data), [data]);
  node.worker.assign(tasks.slice(0, 1));
  await node.worker.idle();
  assert.deepEqual(await mountsBelow(data), [data]);
  // Taken up after a crash.
  await node.close();
  await node.open();
  assert.deepEqual(await mountsBelow(data), [data]);
  await node.removeAll();
  assert.deepEqual(await mountsBelow(data), []);
  const other = { type: "tmpfs", device: "tmpfs", o: "size=2m" };
  const message = await rejected(node, [
    volume("small", { volumeOptions: { driverConfig: { name: "local", options: other } } }),
  ]);
  assert.match(message, /volume "small" is on this node already, with other options/);
});

test("volume, one that a stranger has open does not keep its task from its end", {
  timeout,
}, async () => {
  await using node = new TestNode();
  const { volumes } = await node.open();
  const options = { type: "tmpfs", device: "tmpfs" };
  const task = running(node, "echo x >/data/x", [
    volume("open", { volumeOptions: { driverConfig: { options } } }),
  ]);
  node.worker.assign([task]);
  await node.untilState(task.id, TaskState.RUNNING);
  const data = volumes.mountpointOf("open");
  const stranger = openSync(data, "r");
  await node.removeAll();
  assert.deepEqual(await mountsBelow(data), []);
  closeSync(stranger);
  await volumes.remove("open");
});

test("volume, tasks that ended have none, though they are kept for their logs", {
  timeout,
}, async () => {
  await using node = new TestNode();
  const { volumes } = await node.open();
  const bad = { type: MountType.BIND, source: "/nowhere", target: "/bound" };
  const rejectedTask = running(node, "true", [volume("held"), bad]);
  const ended = node.task({ args: ["true"], mounts: [volume("held")] });
  node.worker.assign([rejectedTask, ended]);
  await node.untilState(rejectedTask.id, TaskState.REJECTED);
  await node.untilState(ended.id, TaskState.COMPLETE);
  assert.deepEqual(volumes.usersOf("held"), []);
  await volumes.remove("held");
});

test("volume, a bound folder that is not there is named, and one that is is shown", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const folder = mkdtempSync(join(tmpdir(), "swarm-bound-"));
  const bound = (device: string) =>
    volume(`to-${device === folder ? "here" : "nowhere"}`, {
      volumeOptions: { driverConfig: { options: { type: "none", o: "bind", device } } },
    });
  await outputOf(node, "echo x >/data/y", [bound(folder)]);
  assert.deepEqual(readdirSync(folder), ["y"]);
  const [error] = await outputOf(node, "true", [bound("/nowhere")]);
  assert.match(error ?? "", /Cannot mount the volume "to-nowhere".*"\/nowhere" does not exist/);
  rmSync(folder, { recursive: true });
});

test("volume, after an end in the middle of making or removing one there is no half of it", {
  timeout,
}, async () => {
  await using node = new TestNode();
  const { volumes } = await node.open();
  await volumes.create({ name: "whole", labels: { a: "b" } });
  await node.close();
  const root = join(node.root, "agent/volumes");
  for (const name of [".new-1", ".old-7"])
    mkdirSync(join(root, name, "_data"), { recursive: true });
  mkdirSync(join(root, "strange/_data"), { recursive: true });
  writeFileSync(join(root, "strange/volume.json"), "{");
  await node.open();
  assert.deepEqual(
    node.worker.volumes.list().map(({ name, labels }) => [name, labels]),
    [["whole", { a: "b" }]],
  );
  // What cannot be read is somebody's data all the same.
  assert.deepEqual(readdirSync(root).toSorted(), [".uses", "strange", "whole"]);
});
