/** Tars out of a real container and into it. */
import assert from "node:assert/strict";
import { type ChildProcess, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  ContainerService,
  ReadArchiveRequestSchema,
  WriteArchiveRequestSchema,
} from "#proto/gen/swarm/v1/engine_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { addService, type CallContext, type Client, type Handlers } from "#proto/grpc.ts";
import { TestServer } from "#proto/testing/test-server.ts";
import { until } from "#proto/testing/until.ts";
import { type Exec, systemExec } from "../exec.ts";
import { TestNode } from "../task/testing/test-node.ts";
import { archiveHandlers } from "./archives.ts";

const timeout = 60_000;
const node = new TestNode();
const places = {
  tasksFolder: join(node.root, "agent/tasks"),
  runtimeRoot: join(node.root, "run/runc"),
  toolFolder: node.root,
  runtime: "runc",
};
let taskId = "";
let server: TestServer;
let client: Client<typeof ContainerService>;

/** A hostile container: links that would lead a careless host to its own files. */
const script = `mkdir -p /tmp/out /tmp/data/sub
echo inside > /tmp/data/file
echo deep > /tmp/data/sub/deep
ln -s /etc/hostname /tmp/data/link
ln -s /tmp/data/file /tmp/to-file
ln -s /etc /tmp/etc-link
ln -s ../../../../../../tmp/out /tmp/up
ln -s nowhere /tmp/dangling
sleep 1000`.replaceAll(/^(mkdir|ln) /gm, "busybox $1 ");

before(async () => {
  const worker = await node.open();
  const task = node.task({ command: ["sh", "-c", script] });
  worker.assign([task]);
  await node.untilState(task.id, TaskState.RUNNING);
  taskId = task.id;
  const handlers = archiveHandlers({ places, exec: systemExec });
  server = await TestServer.serve((grpc) =>
    addService(grpc, ContainerService, handlers as Handlers<typeof ContainerService>),
  );
  client = server.connection.service(ContainerService);
  for (let tries = 0; tries < 50; tries++) {
    if ((await read("/tmp/dangling").catch(() => undefined)) !== undefined) return;
  }
});

after(async () => {
  server[Symbol.dispose]();
  await node[Symbol.asyncDispose]();
});

async function read(path: string, followLink = false): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const { data } of client.readArchive({ taskId, path, followLink })) pieces.push(data);
  return Buffer.concat(pieces);
}

function tar(args: readonly string[], input?: Buffer): Buffer {
  const { status, stdout, stderr } = spawnSync("tar", args, { input, maxBuffer: 64 * 2 ** 20 });
  assert.equal(status, 0, stderr.toString());
  return stdout;
}

const names = (archive: Buffer) => tar(["-t"], archive).toString().trim().split("\n").toSorted();
const content = (archive: Buffer, name: string) => tar(["-xO", name], archive).toString();

async function write(path: string, archive: Buffer, keepOwner = false): Promise<void> {
  const requests = async function* () {
    const start = { case: "start", value: { taskId, path, keepOwner } };
    yield create(WriteArchiveRequestSchema, { input: start } as never);
    for (let offset = 0; offset < archive.length; offset += 65_536) {
      const value = archive.subarray(offset, offset + 65_536);
      yield create(WriteArchiveRequestSchema, { input: { case: "data", value } });
    }
    yield create(WriteArchiveRequestSchema, { input: { case: "complete", value: true } });
  };
  await client.writeArchive(requests());
}

function folder(name: string): string {
  const path = join(node.root, name);
  mkdirSync(path, { recursive: true });
  return path;
}

test("archives, a folder, its contents alone, and a file", { timeout }, async () => {
  const whole = await read("/tmp/data");
  assert.deepEqual(names(whole), [
    "./data/",
    "./data/file",
    "./data/link",
    "./data/sub/",
    "./data/sub/deep",
  ]);
  assert.equal(content(whole, "./data/sub/deep"), "deep\n");
  assert(names(await read("/tmp/data/.")).includes("./file"));
  assert.equal(content(await read("tmp/data/file"), "./file"), "inside\n");
});

test("archives, a link is a link, or what it leads to in the container", { timeout }, async () => {
  assert.match(tar(["-tv"], await read("/tmp/to-file")).toString(), /to-file -> \/tmp\/data\/file/);
  assert.equal(content(await read("/tmp/to-file", true), "./file"), "inside\n");
  assert.match(tar(["-tv"], await read("/tmp/dangling")).toString(), /dangling -> nowhere/);
  await assert.rejects(read("/tmp/nothing"), {
    code: "not-found",
    message: 'There is no "/tmp/nothing" in the container',
  });
});

test("archives, no path leads out of the container", { timeout }, async () => {
  const own = readFileSync("/etc/hostname", "utf8");
  const inside = content(await read("/tmp/etc-link/hostname"), "./hostname");
  assert.equal(inside, `${taskId.slice(0, 12)}\n`);
  assert.notEqual(inside, own);
  assert(names(await read("/../../../tmp/data")).includes("./data/file"));
  const here = folder("written");
  writeFileSync(join(here, "escaped"), "x");
  await write("/tmp/up", tar(["-c", "-C", here, "escaped"]));
  assert(!existsSync("/tmp/out/escaped"));
  assert(names(await read("/tmp/out")).includes("./out/escaped"));
});

test("archives, what a tar names outside of its folder stays inside of the container", {
  timeout,
}, async () => {
  const here = folder("hostile");
  writeFileSync(join(here, "evil"), "x");
  symlinkSync("/", join(here, "root"));
  const rename = "--transform=s,^evil,../../../../tmp/swarm-evil,";
  const archive = tar(["-c", "-P", rename, "-C", here, "root", "evil"]);
  await write("/tmp/out", archive).catch(() => undefined);
  assert(!existsSync("/tmp/swarm-evil"));
});

test("archives, owners are root's unless they are kept", { timeout }, async () => {
  const here = folder("owned");
  writeFileSync(join(here, "mine"), "x", { mode: 0o640 });
  const archive = tar(["-c", "--owner=123", "--group=456", "-C", here, "mine"]);
  const owner = async () => {
    const [mode, who] = tar(["-tv", "--numeric-owner"], await read("/tmp/out/mine"))
      .toString()
      .split(/\s+/);
    return `${mode} ${who}`;
  };
  await write("/tmp/out", archive);
  assert.equal(await owner(), "-rw-r----- 0/0");
  await write("/tmp/out", archive, true);
  assert.equal(await owner(), "-rw-r----- 123/456");
});

test("archives, megabytes come back as they went", { timeout }, async () => {
  const here = folder("big");
  const data = Buffer.alloc(20 * 2 ** 20, "0123456789abcdef\n");
  writeFileSync(join(here, "big"), data);
  await write("/tmp/out", tar(["-c", "-C", here, "big"]));
  const target = folder("back");
  tar(["-x", "-C", target], await read("/tmp/out/big"));
  assert(readFileSync(join(target, "big")).equals(data));
  assert.equal(statSync(join(target, "big")).size, data.length);
});

test("archives, what a container has stopped ends with its caller", { timeout }, async () => {
  const stopped: ChildProcess[] = [];
  const exec: Exec = {
    ...systemExec,
    start: (_command, _args, options) => {
      const child = systemExec.start("sleep", ["1000"], options);
      stopped.push(child);
      return child;
    },
  };
  const { readArchive } = archiveHandlers({ places, exec });
  const leave = new AbortController();
  const request = create(ReadArchiveRequestSchema, { taskId, path: "/tmp/data" });
  const context = { signal: leave.signal } as CallContext;
  const reading = readArchive(request, context)[Symbol.asyncIterator]().next();
  await until(() => stopped.length === 1);
  leave.abort();
  await assert.rejects(reading);
  assert(stopped.every(({ signalCode }) => signalCode === "SIGKILL"));
});

test("archives, a folder that is not there, and what is left behind", { timeout }, async () => {
  await assert.rejects(write("/tmp/nothing", Buffer.alloc(1024)), { code: "not-found" });
  await assert.rejects(write("/tmp/data/file", Buffer.alloc(1024)), { code: "not-found" });
  await assert.rejects(write("/tmp/out", Buffer.alloc(1024, "junk")), {
    code: "failed-precondition",
  });
  // The one of this very call.
  const links = names(await read("/dev")).filter((name) => name.includes("busybox-"));
  assert.equal(links.length, 1);
  assert.deepEqual(
    readdirSync(node.root).filter((name) => name.startsWith("tool-")),
    [],
  );
});
