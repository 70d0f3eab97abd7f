import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import type { ListTasksRequest, UpdateNodeRequest } from "#proto/gen/swarm/v1/control_pb.ts";
import { NodeSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  ManagerStatusSchema,
  NodeAvailability,
  NodeMembership,
  NodeRole,
  Reachability,
  TaskState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import { FakeCluster, type FakeHost } from "../testing/fake-cluster.ts";
import { FakeControl } from "../testing/fake-control.ts";
import { aNode, aService, aServiceSpec, aTask, idOf } from "../testing/objects.ts";
import { runCli } from "../testing/run-cli.ts";

const membership = NodeMembership.ACCEPTED;

/** One node, whose updates are kept. */
function nodeControl(spec: { desiredRole?: NodeRole; labels?: Record<string, string> } = {}) {
  const updates: UpdateNodeRequest[] = [];
  const node = aNode("h1");
  const { labels = {}, desiredRole = NodeRole.WORKER } = spec;
  node.spec = create(NodeSpecSchema, {
    membership,
    desiredRole,
    annotations: { name: "", labels },
  });
  const control: FakeHost["control"] = {
    ...new FakeControl().handlers,
    getNode: async ({ ref }) => {
      if (ref !== "h1" && ref !== node.id) throw new Fault("not-found", `node "${ref}" not found`);
      return { node };
    },
    updateNode: async (request) => {
      updates.push(request);
      return { node };
    },
  };
  return { control, updates };
}

describe("node ls", () => {
  it("marks this host and the leader", async () => {
    await using cluster = await FakeCluster.open({
      control: new FakeControl().handlers,
      node: { getInfo: async () => ({ nodeId: idOf("h1") }) },
    });
    const { stdout } = await runCli(cluster, ["node", "ls"]);
    const [, first, second] = stdout.split("\n");
    assert.match(first ?? "", /^h1\w+ \* +h1 +Ready +Active +Leader +0\.1\.0$/);
    assert.match(second ?? "", /^h2\w+ +h2 +Ready +Active +0\.1\.0$/);
  });

  it("tells which managers can be reached, as far as anybody knows", async () => {
    const nodes = [Reachability.REACHABLE, Reachability.UNREACHABLE, Reachability.UNKNOWN].map(
      (reachability, index) => ({
        ...aNode(`h${index + 1}`),
        managerStatus: create(ManagerStatusSchema, { reachability }),
      }),
    );
    await using cluster = await FakeCluster.open({
      control: { listNodes: async () => ({ nodes }) },
    });
    const { stdout } = await runCli(cluster, ["node", "ls"]);
    const words = [...stdout.matchAll(/Active +(\w+)/g)].map(([, word]) => word);
    assert.deepEqual(words, ["Reachable", "Unreachable", "Unknown"]);
  });

  it("asks for a state that may be old where that is said", async () => {
    const reads: (string | undefined)[] = [];
    const control = new FakeControl().handlers;
    await using cluster = await FakeCluster.open({
      control: {
        ...control,
        listNodes: async (_, { metadata }) => {
          reads.push(metadata.get("swarm-read"));
          return { nodes: [] };
        },
      },
    });
    await runCli(cluster, ["node", "ls"]);
    await runCli(cluster, ["node", "ls", "--stale"]);
    assert.deepEqual(reads, [undefined, "stale"]);
  });
});

describe("node promote and demote", () => {
  it("say what each node shall be, and change none that shall be so already", async () => {
    const { control, updates } = nodeControl();
    await using cluster = await FakeCluster.open({ control });
    assert.deepEqual(await runCli(cluster, ["node", "promote", "none", "h1"]), {
      code: 1,
      stdout: "Node h1 promoted to a manager in the swarm.\n",
      stderr: 'swarmctl: node "none" not found\n',
    });
    assert.equal(updates[0]?.spec?.desiredRole, NodeRole.MANAGER);
    assert.equal(updates[0]?.spec?.membership, membership);
    const demoted = await runCli(cluster, ["node", "demote", "h1"]);
    assert.equal(demoted.stdout, "Node h1 is already a worker.\n");
    assert.equal(updates.length, 1);
  });

  it("pass on why a manager has to stay", async () => {
    const { control } = nodeControl({ desiredRole: NodeRole.MANAGER });
    const message = 'Cannot demote node "h1": it is the last manager; promote another node first';
    const updateNode = async () => {
      throw new Fault("failed-precondition", message);
    };
    await using cluster = await FakeCluster.open({ control: { ...control, updateNode } });
    const { code, stderr } = await runCli(cluster, ["node", "demote", "h1"]);
    assert.deepEqual([code, stderr], [1, `swarmctl: ${message}\n`]);
  });
});

describe("node update", () => {
  it("changes availability, role and labels, of this host too", async () => {
    const { control, updates } = nodeControl({ labels: { disk: "ssd", old: "1" } });
    const getInfo = async () => ({ nodeId: idOf("h1") });
    await using cluster = await FakeCluster.open({ control, node: { getInfo } });
    const words =
      "node update --availability drain --role manager --label-add rack=7 --label-rm old self";
    assert.equal((await runCli(cluster, words.split(" "))).stdout, "self\n");
    const spec = updates[0]?.spec;
    assert.equal(spec?.availability, NodeAvailability.DRAIN);
    assert.equal(spec?.desiredRole, NodeRole.MANAGER);
    assert.deepEqual(spec?.annotations?.labels, { disk: "ssd", rack: "7" });
  });

  it("refuses labels that are not there and words that it does not know", async () => {
    const { control } = nodeControl();
    await using cluster = await FakeCluster.open({ control });
    const label = await runCli(cluster, ["node", "update", "--label-rm", "x", "h1"]);
    assert.equal(label.stderr, "swarmctl: key x doesn't exist in node's labels\n");
    const word = await runCli(cluster, ["node", "update", "--role", "boss", "h1"]);
    assert.match(word.stderr, /'boss' is invalid\. Choose one of: worker, manager/);
  });
});

describe("node rm and ps", () => {
  it("rm is by force only where it is said so", async () => {
    const forces: boolean[] = [];
    const removeNode = async ({ force }: { readonly force: boolean }) => {
      forces.push(force);
      return { nodeId: idOf("h1") };
    };
    await using cluster = await FakeCluster.open({ control: { removeNode } });
    assert.equal((await runCli(cluster, ["node", "rm", "h1"])).stdout, "h1\n");
    await runCli(cluster, ["node", "rm", "--force", "h1"]);
    assert.deepEqual(forces, [false, true]);
  });

  it("ps lists the tasks of the nodes, of this host where none is named", async () => {
    const asked: string[] = [];
    const task = aTask(aService(aServiceSpec("web")), { slot: 1n, state: TaskState.RUNNING });
    const listTasks = async ({ nodeRef }: ListTasksRequest) => {
      asked.push(nodeRef);
      return { tasks: [task] };
    };
    await using cluster = await FakeCluster.open({
      control: { ...new FakeControl().handlers, listTasks },
      node: { getInfo: async () => ({ nodeId: idOf("h1") }) },
    });
    const { stdout } = await runCli(cluster, ["node", "ps"]);
    assert.match(stdout, /web\.1 .* h1 .* Running/);
    await runCli(cluster, ["node", "ps", "h2", "h3"]);
    assert.deepEqual(asked, [idOf("h1"), "h2", "h3"]);
  });
});

describe("node, as Docker's users ask for it", () => {
  const nodes = () => {
    const [first, second] = [aNode("h1", true), aNode("h2")];
    first.role = NodeRole.MANAGER;
    first.spec = create(NodeSpecSchema, { membership, annotations: { labels: { zone: "a" } } });
    return { nodes: [first, second] };
  };

  const lists: [string, string][] = [
    ["node ls -q --filter role=manager", `${idOf("h1")}\n`],
    ["node ls -q --filter node.label=zone=a", `${idOf("h1")}\n`],
    ["node ls -q -f name=h2 -f name=h1 -f role=worker", `${idOf("h2")}\n`],
    ["node ls --format {{.ID}}:{{.Self}}:{{.Hostname}}:{{.ManagerStatus}}", "h1"],
  ];
  for (const [line, expected] of lists) {
    it(line, async () => {
      await using cluster = await FakeCluster.open({
        control: { ...new FakeControl().handlers, listNodes: async () => nodes() },
        node: { getInfo: async () => ({ nodeId: idOf("h1") }) },
      });
      const { stdout, stderr } = await runCli(cluster, line.split(" "));
      assert.equal(stderr, "");
      if (expected !== "h1") assert.equal(stdout, expected);
      else assert.equal(stdout, `${idOf("h1")}:true:h1:Leader\n${idOf("h2")}:false:h2:\n`);
    });
  }

  it("inspect --pretty tells the main things", async () => {
    const { control } = nodeControl({ labels: { zone: "a" } });
    await using cluster = await FakeCluster.open({ control });
    const { stdout } = await runCli(cluster, ["node", "inspect", "--pretty", "h1"]);
    assert.match(stdout, /^ID: +h1/);
    assert.match(stdout, /^Labels:\n - zone=a\nHostname: +h1$/m);
    assert.match(stdout, /^Status:\n State: +Ready\n Availability: +Active$/m);
  });

  it("drains at once only where that is asked for, and not otherwise", async () => {
    const { control, updates } = nodeControl();
    await using cluster = await FakeCluster.open({ control });
    const update = (...flags: string[]) => runCli(cluster, ["node", "update", ...flags, "h1"]);
    await update("--availability", "drain");
    await update("--availability", "drain", "--force");
    await update("--availability", "active");
    assert.deepEqual(
      updates.map(({ spec }) => [spec?.availability, spec?.drainAtOnce]),
      [
        [NodeAvailability.DRAIN, false],
        [NodeAvailability.DRAIN, true],
        [NodeAvailability.ACTIVE, false],
      ],
    );
    const { code, stderr } = await update("--force");
    assert.equal(code, 2);
    assert.match(stderr, /'--force' needs '--availability drain'/);
  });
});
