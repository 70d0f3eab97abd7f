/** Secrets and configs under real containers. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { LogOptionsSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import { ConfigSchema, SecretSchema, type Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import { AnnotationsSchema, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { always, TestNode } from "../task/testing/test-node.ts";
import { readMountPoints } from "../volume/mount-table.ts";
import { type FileSet, FileObjects } from "./file-objects.ts";

const timeout = 60_000;

const secret = (id: string, text: string, templating?: string) =>
  create(SecretSchema, {
    id,
    spec: {
      annotations: { name: `name-${id}` },
      data: Buffer.from(text),
      ...(templating !== undefined && { templating: { name: templating } }),
    },
  });

const template = `p={{secret "db"}} c={{config "plain"}} e={{env "MODE"}} s={{.Task.Slot}}`;
const known: FileSet = {
  secrets: new Map([
    ["s1", secret("s1", "hunter2")],
    ["s2", secret("s2", template, "golang")],
  ]),
  configs: new Map([
    [
      "c1",
      create(ConfigSchema, {
        id: "c1",
        spec: { annotations: { name: "plain" }, data: Buffer.from("{{not a template}}") },
      }),
    ],
  ]),
};

const wishes = {
  secrets: [
    {
      secretId: "s1",
      secretName: "name-s1",
      file: { name: "db", uid: "7", gid: "8", mode: 0o440 },
    },
    { secretId: "s2", secretName: "name-s2", file: { name: "/etc/app/filled" } },
  ],
  configs: [{ configId: "c1", configName: "plain" }],
};

function taskOf(node: TestNode, script: string): Task {
  const task = node.task(
    {
      ...wishes,
      args: ["sh", "-c", script],
      env: ["MODE=m-{{.Task.Slot}}"],
      hostname: "{{.Service.Name}}-{{.Task.Slot}}",
      stopSignal: "SIGKILL",
    },
    always,
  );
  const serviceAnnotations = create(AnnotationsSchema, { name: "web" });
  return { ...task, slot: 3n, serviceAnnotations };
}

/** The first lines that the container says, in any order of its two streams. */
async function untilLines(node: TestNode, taskId: string, count: number): Promise<string[]> {
  const lines: string[] = [];
  const options = create(LogOptionsSchema, { follow: true });
  const { signal } = new AbortController();
  for await (const messages of node.worker.logs(taskId, options, signal)) {
    lines.push(...messages.map(({ data }) => Buffer.from(data).toString()));
    if (lines.length >= count) break;
  }
  return lines.toSorted();
}

const sleeps = "exec sleep 1000";

/** Everything below a folder that is no tmpfs of secrets. */
function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

test("config, one that is a script and says so by its mode can be run", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  const data = Buffer.from("#!/bin/sh\necho as a script\nexec sleep 1000\n");
  const config = create(ConfigSchema, { id: "c9", spec: { data } });
  const file = { name: "/run.sh", mode: 0o555 };
  const task = node.task({
    configs: [{ configId: "c9", configName: "run", file }],
    args: ["/run.sh"],
    stopSignal: "SIGKILL",
  });
  node.worker.assign([task], { secrets: new Map(), configs: new Map([["c9", config]]) });
  await node.untilState(task.id, TaskState.RUNNING);
  assert.deepEqual(await untilLines(node, task.id, 1), ["as a script"]);
  await node.removeAll();
});

test("secrets and configs, are files of their owner and mode, filled in, read-only, and go with the task", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const script = [
    "busybox ls -ln /run/secrets/db | busybox cut -c1-25",
    "cat /run/secrets/db /etc/app/filled /plain; echo",
    "echo x >/run/secrets/db",
    "hostname; echo $MODE",
    sleeps,
  ].join("; ");
  const task = taskOf(node, script);
  node.worker.assign([task], known);
  await node.untilState(task.id, TaskState.RUNNING);
  const lines = await untilLines(node, task.id, 5);
  assert.deepEqual(lines, [
    "-r--r-----    1 7        ",
    "hunter2p=hunter2 c={{not a template}} e=m-3 s=3{{not a template}}",
    "m-3",
    "sh: can't create /run/secrets/db: Read-only file system",
    "web-3",
  ]);
  assert.deepEqual(
    (await readMountPoints()).filter((point) => point.startsWith(node.root)),
    [join(node.root, "run/secrets")],
  );
  // On no disk but in what it printed itself: neither in the task's files nor in what the container's runtime was given.
  const kept = filesBelow(node.root).filter((path) => !/\/run\/secrets\/|\/log$/.test(path));
  assert.ok(kept.length > 5);
  for (const path of kept) assert.ok(!readFileSync(path).includes("hunter2"), path);
  await node.removeAll();
  assert.deepEqual(
    (await readMountPoints()).filter((point) => point.startsWith(node.root)),
    [],
  );
  assert.ok(!existsSync(join(node.root, "run/secrets")));
});

test("secrets, a restart in place needs no manager, also after a restart of swarmd", {
  timeout,
}, async () => {
  await using node = new TestNode();
  await node.open();
  const task = taskOf(node, `cat /run/secrets/db; echo; ${sleeps}`);
  node.worker.assign([task], known);
  await node.untilState(task.id, TaskState.RUNNING);
  await node.close();
  await node.open();
  const pid = node.worker.statuses().get(task.id)?.container?.pid ?? 0;
  process.kill(pid, "SIGKILL");
  await node.untilState(task.id, TaskState.RUNNING, 2);
  assert.deepEqual(await untilLines(node, task.id, 2), ["hunter2", "hunter2"]);
});

test("secrets, a task that starts anew waits for a manager, and can be ended meanwhile", async () => {
  const objects = new FileObjects();
  const waiting = objects.get(new AbortController().signal);
  const stopped = new AbortController();
  const given = objects.get(stopped.signal);
  stopped.abort(new Fault("canceled", "overtaken"));
  await assert.rejects(given, { code: "canceled" });
  assert.equal(objects.told, false);
  objects.update(known);
  assert.equal(await waiting, known);
});

test("secrets, one that is gone from the cluster is named", { timeout }, async () => {
  await using node = new TestNode();
  await node.open();
  const task = taskOf(node, "true");
  node.worker.assign([task]);
  const { err } = await node.untilState(task.id, TaskState.REJECTED);
  assert.equal(err, 'secret "name-s1" does not exist any more');
});
