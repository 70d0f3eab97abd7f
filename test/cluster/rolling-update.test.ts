/**
 * A service is updated, in every order, while others talk to it: by its virtual address from a task, through the mesh from
 * outside, on connections that are kept and on new ones. No request may fail, and every old task was left in time.
 */
import assert from "node:assert/strict";
import { type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { ClusterView } from "#lab/cluster-view.ts";
import { Lab } from "#lab/lab.ts";

const traffic = join(import.meta.dirname, "traffic");
const image = "registry:5000/debian:12";
const replicas = 3;
const waitMs = 60_000;
const timeout = 180_000;

/** The image has no Node: the host's is lent to it. */
const node = [
  `--mount=type=bind,source=${process.execPath},target=/node,readonly`,
  `--mount=type=bind,source=${traffic},target=/traffic,readonly`,
];

let lab: Lab;
let view: ClusterView;

before(async () => {
  lab = await Lab.up({
    name: "rolling",
    managers: 1,
    workers: 2,
    images: ["debian"],
    ownedByThisProcess: true,
  });
  view = await ClusterView.open(lab.host("h1"));
  await swarmctl("network", "create", "net");
  const asker = ["--name", "asker", "--network", "net", ...node, image, "sleep", "1000"];
  await swarmctl("service", "create", ...asker);
});

after(async () => {
  view?.[Symbol.dispose]();
  await lab?.down();
});

async function swarmctl(...args: readonly string[]): Promise<string> {
  return await lab.host("h1").run("swarmctl", args);
}

interface Outcome {
  readonly answers: Readonly<Record<string, number>>;
  readonly failures: readonly string[];
}

interface Talk {
  /** Ends it. */
  stop(): Promise<Outcome>;
}

async function talk(start: () => ChildProcess): Promise<Talk> {
  const child = start();
  let said = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => (said += text));
  await once(child, "spawn");
  return {
    stop: async () => {
      const ended = once(child, "close");
      child.stdin?.end();
      await ended;
      return JSON.parse(said.trim().split("\n").at(-1) ?? "") as Outcome;
    },
  };
}

/** From a task of the network, by the service's name. */
function fromTask(mode: string): Promise<Talk> {
  const [task] = view.running("asker");
  assert(task !== undefined);
  const target = ["--net", "--mount", `--target=${task.status?.container?.pid}`];
  const command = ["/node", "/traffic/client.ts", "http://web:8080/", "4", mode];
  const host = lab.host(view.hostnameOf(task));
  return talk(() =>
    host.spawn("nsenter", [...target, ...command], { stdio: ["pipe", "pipe", "inherit"] }),
  );
}

/** From the LAN, at a port of a host's. */
function fromOutside(mode: string, port: number): Promise<Talk> {
  const url = `http://${lab.host("h2").address}:${port}/`;
  const command = [join(traffic, "client.ts"), url, "4", mode];
  return talk(() =>
    lab.lan.box.spawn(process.execPath, command, { stdio: ["pipe", "pipe", "inherit"] }),
  );
}

for (const [order, port] of [
  ["stop-first", 9080],
  ["start-first", 9081],
] as const) {
  test(`an update, ${order}, fails no request`, { timeout }, async () => {
    const name = `web-${order}`;
    const network = ["--network", "name=net,alias=web", "--publish", `${port}:8080`];
    const update = ["--update-order", order, "--update-monitor", "1s", "--update-parallelism", "1"];
    const health = [
      "--health-cmd",
      "/node -e \"require('http').get('http://127.0.0.1:8080/', () => process.exit())\"",
    ];
    const interval = [
      "--health-interval",
      "1s",
      "--health-start-interval",
      "200ms",
      "--health-start-period",
      "30s",
    ];
    const command = [...node, image, "/node", "/traffic/server.ts"];
    const flags = ["--name", name, "--replicas", String(replicas), ...network, ...update];
    await swarmctl("service", "create", ...flags, ...health, ...interval, ...command);
    const old = view.running(name).map(({ id }) => id);
    assert.equal(old.length, replicas);
    const talks = await Promise.all(
      ["keep", "new"].flatMap((mode) => [fromTask(mode), fromOutside(mode, port)]),
    );
    await swarmctl("service", "update", "--force", name);
    const outcomes = await Promise.all(talks.map((one) => one.stop()));
    const fresh = view.running(name).map(({ id }) => id);
    assert.equal(fresh.length, replicas);
    assert(fresh.every((id) => !old.includes(id)));
    for (const { answers, failures } of outcomes) {
      assert.deepEqual(failures, []);
      // A task's host name is the beginning of its ID.
      for (const tasks of [old, fresh]) {
        assert(
          tasks.some((id) => id.slice(0, 12) in answers),
          JSON.stringify(answers),
        );
      }
    }
    await swarmctl("service", "rm", name);
    await view.until("it to be gone", () => view.tasks(name).length === 0, waitMs);
  });
}
