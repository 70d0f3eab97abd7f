import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import {
  GetClusterResponseSchema,
  GetNodeResponseSchema,
  ListTasksResponseSchema,
  UpdateNodeResponseSchema,
} from "#proto/gen/swarm/v1/control_pb.ts";
import { ClusterSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeRole, Reachability, TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { GetInfoResponseSchema, NodeService } from "#proto/gen/swarm/v1/node_pb.ts";
import { systemClock } from "#proto/system-clock.ts";
import { addService, type Handlers } from "#proto/grpc.ts";
import { TestServer } from "#proto/testing/test-server.ts";
import type { ControlClient } from "./clients.ts";
import type { ManagerLink } from "./manager-link.ts";
import { type ChangePorts, drainNode, joinCluster, promoteNode } from "./perform-cluster.ts";
import type { Remote } from "./remote.ts";

/** A host whose swarmd is in the cluster with this ID. */
async function joined(clusterId: string) {
  const server = await TestServer.serve((grpc) => {
    const info = create(GetInfoResponseSchema, { nodeId: "n1", clusterId });
    const getInfo = async () => info;
    addService(grpc, NodeService, { getInfo } as Partial<Handlers<typeof NodeService>> as Handlers<
      typeof NodeService
    >);
  });
  const remote: Remote = {
    name: "a1",
    run: async () => ({ status: 0, stdout: "", stderr: "" }),
    copy: async () => {},
    socket: async () => server.address.replace("unix:", ""),
    [Symbol.asyncDispose]: async () => server[Symbol.dispose](),
  };
  return remote;
}

const control: Partial<ControlClient> = {
  getCluster: async () =>
    create(GetClusterResponseSchema, { cluster: create(ClusterSchema, { id: "ours" }) }),
};

function linkTo(client: Partial<ControlClient>): ManagerLink {
  const ask = <T>(work: (control: ControlClient) => Promise<T>) => work(client as ControlClient);
  return { ask } as ManagerLink;
}

async function join(clusterId: string): Promise<string> {
  await using remote = await joined(clusterId);
  const host = { address: "a1", name: "a1", isManager: false, runsTasks: true, ssh: {} };
  return await joinCluster(linkTo(control), { host, remote, facts: undefined });
}

test("join, who has joined meanwhile is told from who has joined somebody else's cluster", async () => {
  assert.equal(await join("ours"), "n1");
  await assert.rejects(join("theirs"), {
    code: "failed-precondition",
    message: /joined another cluster meanwhile/,
  });
});

/** A manager of a node whose role and tasks are as they were, until somebody changes that. */
class Standstill {
  readonly wishes: unknown[] = [];
  isDone = false;
  watchers = 0;

  get client(): Partial<ControlClient> {
    const getNode = async () => {
      const role = this.isDone ? NodeRole.MANAGER : NodeRole.WORKER;
      const managerStatus = { reachability: Reachability.REACHABLE };
      return create(GetNodeResponseSchema, {
        node: { role, meta: { version: { index: 1n } }, spec: {}, managerStatus },
      });
    };
    const listTasks = async () =>
      create(ListTasksResponseSchema, {
        tasks: this.isDone ? [] : [{ id: "t1", status: { state: TaskState.RUNNING } }],
      });
    const updateNode: ControlClient["updateNode"] = async ({ spec }) => {
      this.wishes.push(spec);
      return create(UpdateNodeResponseSchema);
    };
    const following = (signal?: AbortSignal) => this.#follow(signal);
    const watch: ControlClient["watch"] = (_, options) => following(options?.signal);
    return { getNode, listTasks, updateNode, watch };
  }

  async *#follow(signal = new AbortController().signal): AsyncGenerator<never> {
    this.watchers += 1;
    try {
      await once(signal, "abort");
      // Nothing changes that anybody waits for.
      yield* [];
    } finally {
      this.watchers -= 1;
    }
  }
}

for (const [words, step] of [
  ["draining", (ports: ChangePorts) => drainNode("n1", 600_000, ports)],
  ["promoting", (ports: ChangePorts) => promoteNode("n1", ports)],
] as const) {
  test(`Ctrl-C ends ${words} a node, and a second run goes on from there`, async () => {
    const manager = new Standstill();
    const link = linkTo(manager.client);
    const portsWith = (signal: AbortSignal): ChangePorts => {
      return { link, clock: systemClock, signal, onWait: () => {} };
    };
    const scope = new AbortController();
    const first = step(portsWith(scope.signal));
    while (manager.watchers === 0) await setImmediate();
    scope.abort();
    await assert.rejects(first);
    await setImmediate();
    assert.equal(manager.watchers, 0);
    manager.isDone = true;
    await step(portsWith(new AbortController().signal));
    assert.equal(manager.wishes.length, 2);
    assert.deepEqual(manager.wishes[0], manager.wishes[1]);
  });
}
