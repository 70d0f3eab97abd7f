/** What containers print and use, from any manager: lines of two hosts while one's swarmd is restarted, and top. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import { systemClock } from "#proto/system-ports.ts";
import { ClusterView } from "#lab/cluster-view.ts";
import { Lab } from "#lab/lab.ts";

const image = "registry:5000/busybox:1";
const deadlineMs = 20_000;
const lines = 400;

let lab: Lab;
let view: ClusterView;

before(async () => {
  lab = await Lab.up({ name: "logs", managers: 3, images: ["busybox"], ownedByThisProcess: true });
  view = await ClusterView.open(lab.host("h1"));
  await lab.host("h1").run("swarmctl", ["node", "update", "--availability", "drain", "h1"]);
});

after(async () => {
  view?.[Symbol.dispose]();
  await lab?.down();
});

async function swarmctl(...args: readonly string[]): Promise<string> {
  return await lab.host("h1").run("swarmctl", args);
}

async function createCounter(name: string): Promise<void> {
  const script = `for i in $(seq ${lines}); do echo $i; sleep 0.02; done; exec sleep 1000`;
  const create = ["service", "create", "--replicas", "2", "--stop-grace-period", "1s"];
  await swarmctl(...create, "--name", name, image, "sh", "-c", script);
}

test("service logs -f through a manager without tasks: a swarmd's restart loses no line, and none comes twice", {
  timeout: 90_000,
}, async () => {
  await createCounter("counter");
  const nodes = new Set(view.running("counter").map(({ nodeId }) => nodeId));
  assert.equal(nodes.size, 2);
  using connection = lab.host("h1").connect("manager");
  const stopping = new AbortController();
  const request = { serviceRef: "counter", options: { follow: true } };
  const seen = new Map<string, number[]>();
  let restarted: Promise<void> | undefined;
  const control = connection.service(ControlService);
  using _deadline = systemClock.timer(60_000, () => stopping.abort());
  const follow = async () => {
    for await (const { messages, warnings } of control.subscribeLogs(request, stopping)) {
      // Where the restart takes long, h3 is down meanwhile and its task may be replaced and come back.
      for (const warning of warnings) assert.match(warning, /is down: its lines/);
      for (const { taskId, data } of messages) {
        const numbers = seen.get(taskId) ?? [];
        numbers.push(Number(Buffer.from(data).toString()));
        seen.set(taskId, numbers);
      }
      const counts = [...seen.values()].map((numbers) => numbers.length);
      if (counts.length === 2 && counts.every((count) => count > 20)) {
        restarted ??= lab
          .host("h3")
          .swarmd.stop()
          .then(() => lab.host("h3").swarmd.start());
      }
      const running = view.running("counter");
      if (running.length === 2 && running.every(({ id }) => seen.get(id)?.at(-1) === lines)) return;
    }
  };
  try {
    await follow();
  } catch (thrown) {
    if (!stopping.signal.aborted) throw thrown;
  }
  stopping.abort();
  assert.ok(restarted !== undefined);
  await restarted;
  // A task on the restarted host may have been replaced: it ends early, and its successor begins from 1.
  for (const numbers of seen.values()) {
    assert.deepEqual(
      numbers,
      Array.from(numbers, (_, index) => index + 1),
    );
  }
  assert.ok([...seen.values()].filter((numbers) => numbers.length === lines).length >= 2);
});

test("service logs, drivers: of each what can be read is read, and none says that it keeps nothing", {
  timeout: 60_000,
}, async () => {
  const create = ["service", "create", "--stop-grace-period", "1s", "--log-driver"];
  const command = [image, "sh", "-c", "echo said; exec sleep 1000"];
  await swarmctl(...create, "json-file", "--log-opt", "max-size=1m", "--name", "json", ...command);
  await swarmctl(...create, "none", "--name", "mute", ...command);
  assert.equal(await swarmctl("service", "logs", "--raw", "json"), "said\n");
  const mute = await lab.host("h1").exec("swarmctl", ["service", "logs", "mute"]);
  assert.equal(mute.status, 1);
  assert.match(mute.stderr, /log driver "none" keeps nothing that could be read/);
});

test("top --no-stream shows the tasks of both nodes", { timeout: 60_000 }, async () => {
  await view.until("two tasks", () => view.running("counter").length === 2, deadlineMs);
  const picture = JSON.parse(await swarmctl("top", "--no-stream", "--format", "json"));
  const names = picture.nodes.map(({ name }: { readonly name: string }) => name);
  assert.deepEqual(names, ["h2", "h3"]);
  const table = await swarmctl("stats", "--no-stream", "--service", "counter");
  assert.match(table, /^counter\.1 +h[23] .*B \/ .*B/m);
  assert.match(table, /^counter\.2 +h[23] /m);
});
