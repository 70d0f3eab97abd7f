/** What a service asks of its containers, seen from inside of them; and what is left of those that ended. */
import assert from "node:assert/strict";
import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import type { Task } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  ContainerSpecSchema,
  ServiceSpecSchema,
  TaskSpecSchema,
} from "#proto/gen/swarm/v1/specs_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { durationFromMs } from "#proto/time.ts";
import { ClusterView } from "#lab/cluster-view.ts";
import { Lab } from "#lab/lab.ts";
import { waitFor } from "#lab/wait.ts";

const image = "registry:5000/busybox:1";
const deadlineMs = 15_000;

let lab: Lab;
let view: ClusterView;

before(async () => {
  lab = await Lab.up({
    name: "fields",
    managers: 1,
    workers: 1,
    images: ["busybox"],
    ownedByThisProcess: true,
  });
  view = await ClusterView.open(lab.host("h1"));
});

after(async () => {
  view?.[Symbol.dispose]();
  await lab?.down();
});

async function swarmctl(...args: readonly string[]): Promise<string> {
  return await lab.host("h1").run("swarmctl", args);
}

/** Creates the service through the API. */
async function createByApi(
  name: string,
  container: MessageInitShape<typeof ContainerSpecSchema>,
): Promise<void> {
  using connection = lab.host("h1").connect("manager");
  const stopGracePeriod = durationFromMs(1000);
  const value = create(ContainerSpecSchema, { image, stopGracePeriod, ...container });
  const spec = create(ServiceSpecSchema, {
    annotations: { name },
    mode: { case: "replicated", value: { replicas: 1n } },
    task: create(TaskSpecSchema, { runtime: { case: "container", value } }),
  });
  await connection.service(ControlService).createService({ spec });
}

async function running(service: string): Promise<Task> {
  return await view.until(`${service} to run`, () => view.running(service)[0], deadlineMs);
}

/** What the service's container printed, once it printed "ready". */
async function printed(service: string): Promise<string> {
  await running(service);
  return await waitFor(
    `${service} to be ready`,
    async () => {
      const log = await swarmctl("service", "logs", "--raw", service);
      return log.includes("ready\n") && log;
    },
    { timeoutMs: deadlineMs },
  );
}

/** A file of the task's cgroup: by its controller on v1, by its unified name on v2. */
function cgroupFile(task: Task, v1: string, v2: string): string {
  const [path] = ["/sys/fs/cgroup", "/sys/fs/cgroup/*"].flatMap((root) =>
    [v1, v2].flatMap((name) => globSync(`${root}/swarm-lab/fields/*/${task.id}/${name}`)),
  );
  assert.ok(path !== undefined, `the task has a cgroup with ${v1} or ${v2}`);
  return readFileSync(path, "utf8").trim();
}

function facts(...commands: readonly string[]): string {
  return [...commands, "echo ready", "sleep 1000"].join("; ");
}

test("flags of service create, each has its effect in the container", async () => {
  const script = facts(
    "hostname",
    "pwd",
    "id -u; id -g",
    "echo $COLOUR",
    "touch /x || echo root is read-only",
    "touch /bound/x || echo bind is read-only",
    "touch /scratch/x && echo tmpfs is writable",
    "grep ' /scratch ' /proc/mounts",
  );
  const flags = [
    "--hostname=inside",
    "--workdir=/tmp",
    "--user=1000:1001",
    "--env=COLOUR=red",
    "--read-only",
    "--mount=type=bind,source=/etc,target=/bound,readonly",
    "--mount=type=tmpfs,target=/scratch,tmpfs-size=1m,tmpfs-mode=1777",
    "--limit-cpu=0.5",
    "--limit-memory=32m",
    "--entrypoint=sh -c",
    "--container-label=a=b",
    "--stop-grace-period=1s",
    "--detach",
  ];
  await swarmctl("service", "create", "--name", "flags", ...flags, image, script);
  const log = await printed("flags");
  const lines = log.split("\n");
  assert.deepEqual(lines.slice(0, 5), ["inside", "/tmp", "1000", "1001", "red"]);
  for (const line of ["root is read-only", "bind is read-only", "tmpfs is writable"]) {
    assert.ok(lines.includes(line), `${line}: ${log}`);
  }
  assert.match(log, /^tmpfs \/scratch tmpfs .*size=1024k/m);
  const task = await running("flags");
  assert.equal(cgroupFile(task, "memory.limit_in_bytes", "memory.max"), String(32 << 20));
  assert.match(cgroupFile(task, "cpu.cfs_quota_us", "cpu.max"), /^50000/);
  const [inspected] = JSON.parse(await swarmctl("task", "inspect", task.id));
  assert.deepEqual(inspected.spec.container.labels, { a: "b" });
});

test("flags of service create for a host, each has its effect in the container", async () => {
  const script = facts(
    "cat /etc/hosts /etc/resolv.conf",
    "grep -E 'Groups|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status",
    "cat /proc/1/comm",
    "unshare -m true || echo no namespaces",
    "head -c 3 /dev/mine | wc -c",
    "grep 'open files' /proc/self/limits",
    "cat /proc/sys/net/core/somaxconn /proc/self/oom_score_adj",
    "grep ' /dev/shm ' /proc/mounts",
  );
  const flags = [
    "--group=2000",
    "--add-host=db:10.1.2.3",
    "--dns=10.9.9.9",
    "--dns-search=a.b",
    "--dns-option=timeout:1",
    "--security-opt=no-new-privileges",
    "--cap-drop=ALL",
    "--cap-add=NET_ADMIN",
    "--ulimit=nofile=100:200",
    "--sysctl=net.core.somaxconn=77",
    "--limit-pids=50",
    "--oom-score-adj=500",
    "--shm-size=1m",
    "--init",
    "--device=/dev/zero:/dev/mine:r",
    "--log-driver=json-file",
    "--entrypoint=sh -c",
    "--stop-grace-period=1s",
    "--detach",
  ];
  await swarmctl("service", "create", "--name", "fields", ...flags, image, script);
  const log = await printed("fields");
  for (const fact of [
    /^10\.1\.2\.3\tdb$/m,
    /^nameserver 172\.17\.0\.1\nsearch a\.b\noptions timeout:1 ndots:0$/m,
    /^Groups:\t0 2000 $/m,
    /^CapBnd:\t0000000000001000$/m,
    /^NoNewPrivs:\t1$/m,
    /^Seccomp:\t2$/m,
    /^swarm-init$/m,
    /^no namespaces$/m,
    /^3$/m,
    /^Max open files +100 +200 /m,
    /^77\n500$/m,
    /^shm \/dev\/shm tmpfs .*size=1024k/m,
  ]) {
    assert.match(log, fact);
  }
  assert.equal(cgroupFile(await running("fields"), "pids.max", "pids.max"), "50");
});

test("a reservation that no node has free keeps the task waiting and says so", async () => {
  const flags = ["--reserve-memory", "1000g", "--detach"];
  await swarmctl("service", "create", "--name", "greedy", ...flags, image, "sleep", "1000");
  const waiting = await view.until(
    "a reason",
    () => view.tasks("greedy").find(({ status }) => status?.err !== ""),
    deadlineMs,
  );
  assert.match(waiting.status?.err ?? "", /insufficient memory on 2 nodes/);
});

test("the stop signal is the one asked for, and what outlives its grace is killed", async () => {
  const polite = "trap 'echo bye; exit 0' USR1; echo ready; while :; do sleep 0.05; done";
  const deaf = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
  const stopGracePeriod = durationFromMs(300);
  await createByApi("polite", { command: ["sh", "-c", polite], stopSignal: "USR1" });
  await createByApi("deaf", { command: ["sh", "-c", deaf], stopGracePeriod });
  for (const service of ["polite", "deaf"]) {
    await printed(service);
    const old = await running(service);
    await swarmctl("service", "update", "--force", "--detach", service);
    const stopped = await view.until(
      `${service} to stop`,
      () =>
        view
          .tasks(service)
          .find(({ id, status }) => id === old.id && status?.state === TaskState.SHUTDOWN),
      deadlineMs,
    );
    const reason = service === "polite" ? "exit code 0" : "killed by SIGKILL (9)";
    assert.equal(stopped.status?.attempts.at(-1)?.reason, reason);
  }
  assert.match(await swarmctl("service", "logs", "--raw", "polite"), /^bye$/m);
});

test("an internal network leads nowhere, another one out of the cluster", async () => {
  const ask = "ping -c 1 -W 2 172.31.0.254 > /dev/null && echo out || echo nowhere";
  await swarmctl("network", "create", "--attachable", "open");
  await swarmctl("network", "create", "--internal", "closed");
  for (const network of ["open", "closed"]) {
    const flags = ["--network", network, "--stop-grace-period", "1s", "--detach"];
    await swarmctl("service", "create", "--name", network, ...flags, image, "sh", "-c", facts(ask));
  }
  assert.match(await printed("open"), /^out$/m);
  assert.match(await printed("closed"), /^nowhere$/m);
});

test("a log that is followed goes on with the tasks that come", async () => {
  const script = "echo one of $HOSTNAME; echo ready; exec sleep 1000";
  await createByApi("followed", { command: ["sh", "-c", script], stopSignal: "KILL" });
  await printed("followed");
  const first = await running("followed");
  using connection = lab.host("h1").connect("manager");
  const signal = AbortSignal.timeout(deadlineMs);
  const request = { serviceRef: "followed", options: { follow: true } };
  const lines = new Set<string>();
  for await (const reply of connection.service(ControlService).subscribeLogs(request, { signal })) {
    for (const { data } of reply.messages) lines.add(Buffer.from(data).toString());
    if (lines.size === 2) await swarmctl("service", "update", "--force", "--detach", "followed");
    if (lines.size === 3) break;
  }
  const second = await running("followed");
  const hostnames = [first, second].map(({ id }) => `one of ${id.slice(0, 12)}`);
  assert.deepEqual([...lines].toSorted(), [...hostnames, "ready"].toSorted());
});

// Last, as it stops a manager, which ends the view.
test("tasks that ended keep their last words until their service is removed", async () => {
  const flags = ["--restart-condition", "on-failure", "--restart-max-attempts", "1"];
  const command = [...flags, "--restart-delay", "0s", image, "sh", "-c", "echo last words; exit 3"];
  const { status, stderr } = await lab
    .host("h1")
    .exec("swarmctl", ["service", "create", "--name", "crash", ...command]);
  assert.equal(status, 1);
  assert.match(stderr, /crash\.1 is not restarted: exit code 3/);
  const [task] = view.tasks("crash");
  assert.equal(task?.status?.state, TaskState.FAILED);
  const host = lab.host(view.hostnameOf(task));
  await host.swarmd.stop();
  await host.startSwarmd();
  const log = await waitFor(
    "the log",
    async () => {
      const outcome = await lab.host("h1").exec("swarmctl", ["service", "logs", "--raw", "crash"]);
      return outcome.status === 0 && outcome.stdout;
    },
    { timeoutMs: deadlineMs },
  );
  assert.equal(log, "last words\nlast words\n");
  const listed = await swarmctl("service", "ps", "--no-trunc", "crash");
  assert.equal(listed.match(/"exit code 3"/g)?.length, 2);
  await swarmctl("service", "rm", "crash");
  const folder = join(host.dataRoot, "agent", "tasks", task.id);
  await waitFor("nothing to be left", () => !existsSync(folder), { timeoutMs: deadlineMs });
});

test("nothing is left on the hosts after the last service", async () => {
  const services = ["flags", "fields", "greedy", "polite", "deaf", "followed", "open", "closed"];
  await swarmctl("service", "rm", ...services);
  const left = () => lab.hosts.flatMap((host) => readdirSync(join(host.dataRoot, "agent/tasks")));
  await waitFor("every task to be gone", () => left().length === 0, { timeoutMs: 20_000 });
});
