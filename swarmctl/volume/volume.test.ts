import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { type LocalVolume, LocalVolumeSchema } from "#proto/gen/swarm/v1/engine_pb.ts";
import { FakeCluster, type FakeHost } from "../testing/fake-cluster.ts";
import { FakeControl } from "../testing/fake-control.ts";
import { aNode } from "../testing/objects.ts";
import { runCli } from "../testing/run-cli.ts";

const nodes = [aNode("h1", true), aNode("h2")];

/** Each node's volumes, as far as the commands can tell. */
class FakeVolumes {
  readonly byNode = new Map(nodes.map(({ id }) => [id, new Map<string, LocalVolume>()]));
  readonly handlers: NonNullable<FakeHost["volumes"]> = {
    createVolume: async (request, context) => {
      const name = request.name || `${this.#of(context).size}`.padStart(64, "a");
      const anonymous = request.name === "";
      const { driver, options, labels } = request;
      const volume = create(LocalVolumeSchema, { name, driver, options, labels, anonymous });
      this.#of(context).set(name, volume);
      return { volume };
    },
    listVolumes: async (_, context) => ({ volumes: [...this.#of(context).values()] }),
    getVolume: async ({ name }, context) => ({ volume: this.#get(name, context) }),
    removeVolume: async ({ name }, context) => {
      const { inUse } = this.#get(name, context);
      if (inUse) throw new Fault("failed-precondition", `Cannot remove volume "${name}": task t`);
      this.#of(context).delete(name);
      return {};
    },
    pruneVolumes: async ({ all }, context) => {
      const deleted = [...this.#of(context).values()].filter((one) => all || one.anonymous);
      for (const { name } of deleted) this.#of(context).delete(name);
      return { deleted: deleted.map(({ name }) => name), reclaimedBytes: 1_500n };
    },
  };

  #of({ metadata }: { readonly metadata: ReadonlyMap<string, string> }) {
    const volumes = this.byNode.get(metadata.get("swarm-node") ?? "");
    if (volumes === undefined) throw new Fault("internal", "no such node");
    return volumes;
  }

  #get(name: string, context: { readonly metadata: ReadonlyMap<string, string> }): LocalVolume {
    const volume = this.#of(context).get(name);
    if (volume !== undefined) return volume;
    throw new Fault("not-found", `volume "${name}" not found on this node`);
  }
}

async function openCluster() {
  const volumes = new FakeVolumes();
  const getNode = async ({ ref }: { readonly ref: string }) => {
    const node = nodes.find(({ description }) => description?.hostname === ref);
    if (node === undefined) throw new Fault("not-found", `node "${ref}" not found`);
    return { node };
  };
  const control = { ...new FakeControl().handlers, getNode };
  const cluster = await FakeCluster.open({ control, volumes: volumes.handlers });
  return { cluster, volumes };
}

describe("volume", () => {
  it("is made on all nodes or one, listed, inspected and removed where it is", async () => {
    const { cluster, volumes } = await openCluster();
    await using _cluster = cluster;
    const make = ["volume", "create", "--label", "a=b", "-o", "type=nfs", "data"];
    assert.deepEqual(await runCli(cluster, make), { code: 0, stdout: "data\n", stderr: "" });
    await runCli(cluster, ["volume", "create", "--node", "h2", "only"]);
    const list = await runCli(cluster, ["volume", "ls"]);
    assert.equal(
      list.stdout.replaceAll(/ +/g, " "),
      "NODE DRIVER VOLUME NAME\nh1 local data\nh2 local data\nh2 local only\n",
    );
    const labelled = ["volume", "ls", "-q", "--filter", "label=a=b"];
    assert.equal((await runCli(cluster, labelled)).stdout, "data\n");
    const inspected = JSON.parse((await runCli(cluster, ["volume", "inspect", "only"])).stdout);
    assert.deepEqual([inspected[0].node, inspected[0].name, inspected.length], ["h2", "only", 1]);
    const removed = await runCli(cluster, ["volume", "rm", "data", "none", "only"]);
    assert.equal(removed.stdout, "data\nonly\n");
    assert.equal(removed.stderr, 'swarmctl: There is no volume "none" on any node\n');
    assert.deepEqual(
      [...volumes.byNode.values()].map(({ size }) => size),
      [0, 0],
    );
  });

  it("is pruned when somebody says yes, named ones only when told", async () => {
    const { cluster, volumes } = await openCluster();
    await using _cluster = cluster;
    await runCli(cluster, ["volume", "create", "data"]);
    await runCli(cluster, ["volume", "create"]);
    const no = await runCli(cluster, ["volume", "prune"], { stdin: "n\n" });
    assert.match(no.stderr, /remove all anonymous volumes on all nodes.*\nAre you sure/);
    assert.equal(no.stdout, "");
    const yes = await runCli(cluster, ["volume", "prune"], { stdin: "y\n" });
    assert.match(yes.stdout, /^Deleted Volumes:\na{63}1\n\nTotal reclaimed space: 3kB\n$/);
    await runCli(cluster, ["volume", "prune", "-af", "--node", "h1"]);
    assert.deepEqual(
      [...volumes.byNode.values()].map(({ size }) => size),
      [0, 1],
    );
  });

  it("names the node on which one is in use", async () => {
    const { cluster, volumes } = await openCluster();
    await using _cluster = cluster;
    await runCli(cluster, ["volume", "create", "data"]);
    const used = volumes.byNode.get(nodes[1]?.id ?? "")?.get("data");
    if (used !== undefined) used.inUse = true;
    const { stderr, code } = await runCli(cluster, ["volume", "rm", "data"]);
    assert.match(stderr, /^swarmctl: Node "h2": Cannot remove volume "data": task t/);
    assert.equal(code, 1);
  });
});
