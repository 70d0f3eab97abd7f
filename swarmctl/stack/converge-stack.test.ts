import assert from "node:assert/strict";
import { test } from "node:test";
import { StoreActionKind } from "#proto/gen/swarm/v1/objects_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Clock } from "#proto/ports.ts";
import { systemClock } from "#proto/system-ports.ts";
import { FakeCluster } from "../testing/fake-cluster.ts";
import { FakeControl } from "../testing/fake-control.ts";
import { aTask } from "../testing/objects.ts";
import { runCli } from "../testing/run-cli.ts";

/** Time passes at once wherever it is waited for. */
const hasty: Clock = { ...systemClock, timer: (_, callback) => systemClock.timer(1, callback) };

const file = [
  "services:",
  "  web: {image: a, depends_on: [db]}",
  "  db: {image: a}",
  "  bad: {image: a, restart: 'no'}",
  "  late: {image: a, depends_on: [bad]}",
].join("\n");

/** A manager that tells of every service, and of one task of each: it runs, but for one that has failed. */
function control(): FakeControl {
  const fake = new FakeControl();
  fake.handlers.watch = async function* (_, { signal }) {
    const kind = StoreActionKind.UPDATE;
    const events = [...fake.services.values()].flatMap((service) => {
      const failed = service.spec?.annotations?.name === "shop_bad";
      const state = failed ? TaskState.FAILED : TaskState.RUNNING;
      const task = aTask(service, { slot: 1n, state, ...(failed && { err: "it is bad" }) });
      return [
        { action: { kind, object: { object: { case: "service", value: service } as const } } },
        { action: { kind, object: { object: { case: "task", value: task } as const } } },
      ];
    });
    yield { events };
    await new Promise<void>((done) => signal.addEventListener("abort", () => done()));
  };
  return fake;
}

const deploy = ["stack", "deploy", "--detach=false", "--timeout", "0", "-c", "-", "shop"];

test("stack deploy, waits for all services, and names each that fails and who waits for it", async () => {
  await using cluster = await FakeCluster.open({ control: control().handlers });
  const { code, stdout, stderr } = await runCli(cluster, deploy, { stdin: file, clock: hasty });
  assert.equal(code, 1);
  assert.match(stdout, /^shop_db: overall progress: 1 out of 1 tasks$/m);
  assert.match(stdout, /^shop_web: overall progress: 1 out of 1 tasks$/m);
  assert.deepEqual(stderr.trimEnd().split("\n"), [
    'swarmctl: Service "shop_bad" has not converged: shop_bad.1 is not restarted: it is bad',
    'swarmctl: Service "shop_late" has not converged: it waits for "shop_bad"',
  ]);
});

test("stack deploy, exits with 0 when all services have converged", async () => {
  await using cluster = await FakeCluster.open({ control: control().handlers });
  const good = file.replace(/ {2}bad.*/s, "");
  const { code, stderr } = await runCli(cluster, [...deploy, "-q"], { stdin: good, clock: hasty });
  assert.deepEqual([code, stderr], [0, ""]);
});

test("stack deploy, says in round numbers how long it has waited", async () => {
  const { handlers } = new FakeControl();
  handlers.watch = async function* (_, { signal }) {
    yield { events: [] };
    await new Promise<void>((done) => signal.addEventListener("abort", () => done()));
  };
  await using cluster = await FakeCluster.open({ control: handlers });
  const argv = deploy.with(deploy.indexOf("0"), "40s");
  const stdin = "services: {web: {image: a}}";
  const { code, stderr } = await runCli(cluster, argv, { stdin, clock: hasty });
  assert.equal(code, 1);
  assert.match(stderr, /^swarmctl: Service "shop_web" has not converged: after 40 s 0 of/);
});
