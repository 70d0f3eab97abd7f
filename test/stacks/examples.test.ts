/** The examples of stacks do what their first lines say. */
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { ClusterView } from "#lab/cluster-view.ts";
import { Lab } from "#lab/lab.ts";
import { waitFor } from "#lab/wait.ts";
import { TaskState, UpdateState } from "#proto/gen/swarm/v1/types_pb.ts";

/** A host may unpack an image first. */
const deployMs = 180_000;
const waitMs = 60_000;

let lab: Lab;
let view: ClusterView;

before(async () => {
  lab = await Lab.up({
    name: "examples",
    managers: 1,
    workers: 1,
    images: ["busybox", "debian"],
    ownedByThisProcess: true,
  });
  view = await ClusterView.open(lab.host("h1"));
});

after(async () => {
  view?.[Symbol.dispose]();
  await lab?.down();
});

afterEach(async () => {
  const stacks = (await swarmctl("stack", "ls", "-q")).split("\n").filter((name) => name !== "");
  for (const name of stacks) await swarmctl("stack", "rm", "--detach=false", name);
});

async function swarmctl(...args: readonly string[]): Promise<string> {
  return await lab.host("h1").run("swarmctl", args);
}

function fileOf(example: string): string {
  return new URL(`../../stacks/examples/${example}.yml`, import.meta.url).pathname;
}

async function deploy(
  example: string,
  stack: string,
  variables: Readonly<Record<string, string>> = {},
  ...flags: readonly string[]
): Promise<string> {
  const assigned = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  const argv = ["swarmctl", "stack", "deploy", "-c", fileOf(example), ...flags, stack];
  return await lab.host("h1").run("env", [...assigned, ...argv], { timeoutMs: deployMs });
}

async function page(port: number): Promise<string> {
  return await lab
    .host("h2")
    .run("curl", ["-sS", "-m", "5", `http://${lab.host("h2").address}:${port}/`]);
}

async function untilPage(port: number, wanted: RegExp): Promise<string> {
  const look = async () => {
    const text = await page(port).catch(() => "");
    return wanted.test(text) && text;
  };
  return await waitFor(`the page ${wanted}`, look, { timeoutMs: waitMs });
}

async function untilLogged(service: string, wanted: RegExp): Promise<string> {
  const look = async () => {
    const log = await swarmctl("service", "logs", "--raw", service);
    return wanted.test(log) && log;
  };
  return await waitFor(`${service} to print ${wanted}`, look, { timeoutMs: waitMs });
}

test("example, web and database: waits for the database's health, keeps data and follows a new password", async () => {
  const variables = { DATABASE_PASSWORD: "one" };
  const said = await deploy("web-and-database", "shop", variables, "--detach=false");
  assert.match(said, /Creating secret shop_database-password/);
  const visits = async () =>
    Number(/^visit (\d+),/.exec(await untilPage(8080, /^visit \d+, answered by/))?.[1]);
  const first = await visits();
  const before = new Set(view.running("shop_web").map(({ id }) => id));
  const again = await deploy("web-and-database", "shop", variables);
  assert.doesNotMatch(again, /Creating|Updating|Rotating/);
  assert.deepEqual(new Set(view.running("shop_web").map(({ id }) => id)), before);
  const other = { DATABASE_PASSWORD: "two" };
  const rotated = await deploy("web-and-database", "shop", other, "--detach=false");
  assert.match(rotated, /Rotating secret shop_database-password/);
  assert.ok(view.running("shop_web").every(({ id }) => !before.has(id)));
  const secrets = async () =>
    (await swarmctl("secret", "ls", "-q")).trim().split("\n").length === 1;
  await waitFor("the old password to be removed", secrets, { timeoutMs: waitMs });
  const later = await waitFor(
    "more visits",
    async () => {
      const count = await visits();
      return count > first && count;
    },
    { timeoutMs: waitMs },
  );
  assert.ok(later > first);
});

test("example, monitoring: there is an exporter on each host, and the collector finds all", async () => {
  await deploy("monitoring", "monitoring", {}, "--detach=false");
  const hosts = view.running("monitoring_exporter").map((task) => view.hostnameOf(task));
  assert.deepEqual(hosts.toSorted(), ["h1", "h2"]);
  await untilLogged("monitoring_collector", /^host h1$/m);
  await untilLogged("monitoring_collector", /^host h2$/m);
});

test("example, queue workers: there are more when there is more to do", async () => {
  await deploy("queue-workers", "queue", {}, "--detach=false");
  await view.until("more workers", () => view.running("queue_worker").length > 1, waitMs);
  const again = await deploy("queue-workers", "queue");
  assert.match(again, /Service queue_worker is unchanged/);
  assert.ok(view.running("queue_worker").length > 1);
});

test("example, cron job: runs by its schedule, and at once when it is told to", async () => {
  await deploy("cron-job", "nightly");
  assert.equal(view.tasks("nightly_report").length, 0);
  await swarmctl("service", "run-now", "--detach", "nightly_report");
  const ended = () =>
    view.tasks("nightly_report").some(({ status }) => status?.state === TaskState.COMPLETE);
  await view.until("the run to end", ended, waitMs);
  await untilLogged("nightly_report", /^report of \d{4}-\d\d-\d\d: all is well$/m);
});

test("example, canary: one task tries a version, the others follow when it is promoted", async () => {
  await deploy("canary", "site", { VERSION: "1" }, "--detach=false");
  await untilPage(8081, /^version 1$/m);
  await deploy("canary", "site", { VERSION: "2" });
  const state = () => view.service("site_web")?.updateStatus?.state;
  const canaries = () => view.running("site_web").filter(isSecond).length;
  await view.until("a canary", () => state() === UpdateState.CANARY && canaries() === 1, waitMs);
  await untilPage(8081, /^version 2$/m);
  await swarmctl("service", "promote", "--detach", "site_web");
  await view.until(
    "all to follow",
    () => state() === UpdateState.COMPLETED && canaries() === 3,
    waitMs,
  );
});

function isSecond({ spec }: ReturnType<ClusterView["running"]>[number]): boolean {
  return spec?.runtime.case === "container" && spec.runtime.value.env.includes("VERSION=2");
}
