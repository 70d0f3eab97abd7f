/** Binds and tmpfs as real containers see them. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { LogOptionsSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import {
  MountPropagation,
  type MountSchema,
  MountType,
  TaskState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { TestNode } from "../task/testing/test-node.ts";
import { readMountPoints } from "../volume/mount-table.ts";

const timeout = 60_000;

type MountInit = MessageInitShape<typeof MountSchema>;

/** A folder with a tmpfs in it, as its own shared mount; all of it goes in the end. */
function openFolder() {
  const root = mkdtempSync(join(tmpdir(), "swarm-mounts-"));
  const folder = join(root, "shared");
  mkdirSync(folder);
  execFileSync("mount", ["-t", "tmpfs", "tmpfs", folder]);
  execFileSync("mount", ["--make-shared", folder]);
  mkdirSync(join(folder, "below"));
  execFileSync("mount", ["-t", "tmpfs", "tmpfs", join(folder, "below")]);
  writeFileSync(join(folder, "below/file"), "below");
  const close = () => {
    execFileSync("umount", ["-R", folder]);
    rmSync(root, { recursive: true });
  };
  return { folder, [Symbol.dispose]: close };
}

const bind = (source: string, init: MountInit = {}): MountInit => ({
  type: MountType.BIND,
  source,
  target: "/bound",
  ...init,
});

async function outputOf(node: TestNode, script: string, mount: MountInit): Promise<string[]> {
  const task = node.task({ args: ["sh", "-c", script], mounts: [mount] });
  node.worker.assign([task]);
  const { err } = await node.until(task.id, ({ state }) => state > TaskState.RUNNING);
  const lines: string[] = [];
  for await (const messages of node.worker.logs(task.id, undefined, new AbortController().signal)) {
    for (const { data } of messages) lines.push(Buffer.from(data).toString());
  }
  await node.removeAll();
  return [...lines, ...(err === "" ? [] : [err])].toSorted();
}

test("bind, shows what is mounted below its source, or not; read-only all the way down, or not", {
  timeout,
}, async () => {
  using ground = openFolder();
  const { folder } = ground;
  await using node = new TestNode();
  await node.open();
  const touch = "touch /bound/x && echo above; touch /bound/below/x && echo below; true";
  const writes = async (init: MountInit) =>
    (await outputOf(node, `exec 2>/dev/null; ${touch}`, bind(folder, init))).join(" ");
  assert.equal(await writes({}), "above below");
  assert.equal(await writes({ readOnly: true }), "");
  const partly = { readOnlyNonRecursive: true };
  assert.equal(await writes({ readOnly: true, bindOptions: partly }), "below");
  const forced = { readOnlyForceRecursive: true };
  assert.equal(await writes({ readOnly: true, bindOptions: forced }), "");
  const look = "cat /bound/below/file 2>/dev/null || echo nothing";
  assert.deepEqual(await outputOf(node, look, bind(folder)), ["below"]);
  const alone = bind(folder, { bindOptions: { nonRecursive: true } });
  assert.deepEqual(await outputOf(node, look, alone), ["nothing"]);
});

test("bind, a source that is missing is named, or made where the mount says so", {
  timeout,
}, async () => {
  using ground = openFolder();
  await using node = new TestNode();
  await node.open();
  const path = join(ground.folder, "a/b");
  const [error] = await outputOf(node, "true", bind(path));
  assert.equal(
    error,
    `the bind source "${path}" does not exist on this node: create it, or let the mount create it (bind-create-src)`,
  );
  await outputOf(
    node,
    "echo x >/bound/made",
    bind(path, { bindOptions: { createMountpoint: true } }),
  );
  assert.ok(existsSync(join(path, "made")));
});

/** Runs until told to go on; resolves with what it said then. */
async function meanwhile(
  node: TestNode,
  { script, mount }: { readonly script: string; readonly mount: MountInit },
  act: () => void,
): Promise<string> {
  const waits = "echo ready; until [ -e /bound/go ]; do sleep 0.02; done";
  const args = ["sh", "-c", `${waits}; ${script}; echo end; exec sleep 1000`];
  const task = node.task({ args, mounts: [mount], privileged: true, stopSignal: "SIGKILL" });
  node.worker.assign([task]);
  const options = create(LogOptionsSchema, { follow: true });
  const lines: string[] = [];
  for await (const messages of node.worker.logs(task.id, options, new AbortController().signal)) {
    const texts = messages.map(({ data }) => Buffer.from(data).toString());
    if (texts.includes("ready")) act();
    lines.push(...texts);
    if (lines.includes("end")) break;
  }
  return lines.filter((line) => !["ready", "end"].includes(line)).join(" ");
}

test("bind, rslave sees what the host mounts later, rprivate does not", { timeout }, async () => {
  using ground = openFolder();
  const { folder } = ground;
  await using node = new TestNode();
  await node.open();
  const script = "cat /bound/below/late 2>/dev/null || echo nothing";
  const act = () => {
    execFileSync("mount", ["-t", "tmpfs", "tmpfs", join(folder, "below")]);
    writeFileSync(join(folder, "below/late"), "late\n");
    writeFileSync(join(folder, "go"), "");
  };
  for (const [propagation, seen] of [
    [MountPropagation.RSLAVE, "late"],
    [MountPropagation.RPRIVATE, "nothing"],
  ] as const) {
    const mount = bind(folder, { bindOptions: { propagation } });
    assert.equal(await meanwhile(node, { script, mount }, act), seen);
    await node.removeAll();
    execFileSync("umount", [join(folder, "below")]);
    rmSync(join(folder, "go"));
  }
});

test("bind, rshared shows the host what the container mounts, and nothing is left of it but that", {
  timeout,
}, async () => {
  using ground = openFolder();
  const { folder } = ground;
  await using node = new TestNode();
  await node.open();
  const mount = bind(folder, { bindOptions: { propagation: MountPropagation.RSHARED } });
  const script =
    "busybox mkdir /bound/own && busybox mount -t tmpfs tmpfs /bound/own && echo x >/bound/own/x";
  const said = await meanwhile(node, { script, mount }, () =>
    writeFileSync(join(folder, "go"), ""),
  );
  assert.equal(said, "");
  assert.ok(existsSync(join(folder, "own/x")));
  const points = await readMountPoints();
  // The root file system of the container is seen by nobody else.
  assert.deepEqual(points.filter((point) => point.startsWith(node.root)).length, 1);
  await node.removeAll();
  assert.ok(existsSync(join(folder, "own/x")));
  const left = (await readMountPoints()).filter((point) => point.startsWith(node.root));
  assert.deepEqual(left, []);
});

test("bind, a propagation that its source's mount cannot have is refused in words", {
  timeout,
}, async () => {
  using ground = openFolder();
  const { folder } = ground;
  execFileSync("mount", ["--make-private", folder]);
  await using node = new TestNode();
  await node.open();
  const message = async (propagation: MountPropagation) =>
    (await outputOf(node, "true", bind(folder, { bindOptions: { propagation } })))[0] ?? "";
  assert.match(await message(MountPropagation.SHARED), /which is not a shared mount: make it one/);
  assert.match(await message(MountPropagation.RSLAVE), /which is not a shared or slave mount/);
});

test("tmpfs, has the size, mode and options that are asked for, and Docker's otherwise", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const script = "mount | busybox grep ' /t '";
  const tmpfs = (tmpfsOptions: object): MountInit => ({
    type: MountType.TMPFS,
    target: "/t",
    tmpfsOptions,
  });
  const [plain] = await outputOf(node, script, tmpfs({ sizeBytes: 1n << 20n }));
  assert.match(plain ?? "", /tmpfs \(rw,nosuid,nodev,noexec,.*size=1024k/);
  const [own] = await outputOf(node, script, tmpfs({ mode: 0o700, options: "exec,uid=7" }));
  assert.match(own ?? "", /tmpfs \(rw,nosuid,nodev,relatime,.*mode=700,uid=7/);
});
