import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { GetClusterResponseSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import { ClusterSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { GetInfoResponseSchema, NodeService } from "#proto/gen/swarm/v1/node_pb.ts";
import { addService, type Handlers } from "#proto/grpc.ts";
import { TestServer } from "#proto/testing/test-server.ts";
import type { ControlClient } from "./clients.ts";
import type { ManagerLink } from "./manager-link.ts";
import { joinCluster } from "./perform-cluster.ts";
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
const link = {
  ask: <T>(work: (client: ControlClient) => Promise<T>) => work(control as ControlClient),
} as ManagerLink;

async function join(clusterId: string): Promise<string> {
  await using remote = await joined(clusterId);
  const host = { address: "a1", name: "a1", isManager: false, runsTasks: true, ssh: {} };
  return await joinCluster(link, { host, remote, facts: undefined });
}

test("join, who has joined meanwhile is told from who has joined somebody else's cluster", async () => {
  assert.equal(await join("ours"), "n1");
  await assert.rejects(join("theirs"), {
    code: "failed-precondition",
    message: /joined another cluster meanwhile/,
  });
});
