import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { nodeMetadata } from "#proto/engine-services.ts";
import { Fault } from "#proto/fault.ts";
import type { ControlService } from "#proto/gen/swarm/v1/control_pb.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Handlers } from "#proto/grpc.ts";
import { timestampFromMs } from "#proto/time.ts";
import { FakeCluster } from "../testing/fake-cluster.ts";
import { aNode, aService, aServiceSpec, aTask, idOf, nowMs } from "../testing/objects.ts";
import { type RunOptions, runCli } from "../testing/run-cli.ts";

const web = aService(aServiceSpec("web", 2n));
const tasks = [
  aTask(web, { slot: 1n, state: TaskState.RUNNING, node: "h1" }),
  aTask(web, { slot: 2n, state: TaskState.RUNNING, node: "h2" }),
];

/** On h1 a busy task, on h2 a large one. */
function statsOf(nodeId: string, pictures: number) {
  const isFirst = nodeId === idOf("h1");
  return {
    at: timestampFromMs(nowMs + pictures * 1000),
    tasks: [
      {
        taskId: tasks[isFirst ? 0 : 1]?.id ?? "",
        cpuNs: BigInt(pictures * (isFirst ? 1_500_000_000 : 10_000_000)),
        memoryBytes: isFirst ? 1024n * 1024n : 512n * 1024n * 1024n,
        memoryLimitBytes: 1024n * 1024n * 1024n,
        networkReceivedBytes: 1_536_700n,
        networkSentBytes: 20n,
        pids: 3n,
        restarts: 1,
      },
    ],
  };
}

interface Fakes {
  /** A node that does not answer. */
  readonly broken?: string;
  readonly listTasks?: Handlers<typeof ControlService>["listTasks"];
}

async function top(argv: readonly string[], options: RunOptions = {}, fakes: Fakes = {}) {
  await using cluster = await FakeCluster.open({
    control: {
      listNodes: async () => ({ nodes: [aNode("h1"), aNode("h2")] }),
      listTasks: fakes.listTasks ?? (async () => ({ tasks })),
    },
    containers: {
      async *watchStats(_request, { metadata, signal }) {
        const nodeId = metadata.get(nodeMetadata) ?? "";
        if (nodeId === fakes.broken) throw new Fault("unavailable", "no way there");
        yield statsOf(nodeId, 0);
        yield statsOf(nodeId, 1);
        await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      },
    },
  });
  return await runCli(cluster, argv, options);
}

describe("top", () => {
  it("prints each node and task once with --no-stream, the busiest first", async () => {
    const { code, stdout, stderr } = await top(["top", "--no-stream"]);
    assert.deepEqual([code, stderr], [0, ""]);
    const lines = stdout.split("\n").map((line) => line.split(/ {2,}/));
    assert.deepEqual(lines[1]?.slice(0, 3), ["h1", "1", "150.00%"]);
    assert.deepEqual(
      [lines[5], lines[6]].map((cells) => cells?.slice(0, 4)),
      [
        ["web.1", "h1", "150.00%", "1MiB / 1GiB"],
        ["web.2", "h2", "1.00%", "512MiB / 1GiB"],
      ],
    );
    assert.deepEqual(lines[5]?.slice(4), ["0.10%", "1.54MB / 20B", "0B / 0B", "3", "1"]);
  });

  it("sorts by another column, and is stats, too", async () => {
    const { stdout } = await top(["stats", "--no-stream", "--sort", "memory"]);
    assert.ok(stdout.indexOf("web.2") < stdout.indexOf("web.1"));
    const { code } = await top(["top", "--sort", "colour"]);
    assert.equal(code, 2);
  });

  it("prints one JSON object for each picture", async () => {
    const { stdout } = await top(["top", "--no-stream", "--format", "json"]);
    const picture = JSON.parse(stdout);
    assert.deepEqual(
      picture.tasks.map((task: { name: string; cpuPercent: number }) => [
        task.name,
        task.cpuPercent,
      ]),
      [
        ["web.1", 150],
        ["web.2", 1],
      ],
    );
    assert.equal(picture.nodes.length, 2);
  });

  it("names a node that does not answer, and shows the others", async () => {
    const { code, stdout, stderr } = await top(["top", "--no-stream"], {}, { broken: idOf("h2") });
    assert.equal(code, 0);
    assert.match(stderr, /^swarmctl: Node "h2" does not answer: .*no way there\n$/);
    assert.match(stdout, /web\.1/);
    assert.doesNotMatch(stdout, /web\.2/);
  });

  it("draws over the last picture on a terminal until Ctrl-C, as tasks come and go", async () => {
    const stopping = new AbortController();
    let asked = 0;
    const listTasks = async () => {
      asked += 1;
      if (asked === 3) stopping.abort();
      return { tasks: asked === 1 ? tasks : tasks.slice(0, 1) };
    };
    const options = { isTTY: true, signal: stopping.signal } as const;
    const argv = ["top", "--interval", "100ms", "--service", "web"];
    const { stdout } = await top(argv, options, { listTasks });
    const [first = "", second = ""] = stdout.split("\x1b[7A\r");
    assert.match(first, /web\.2/);
    assert.match(second, /web\.1/);
    assert.doesNotMatch(second, /web\.2/);
  });
});
