import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { GetInfoResponseSchema } from "#proto/gen/swarm/v1/node_pb.ts";
import { NodeRole } from "#proto/gen/swarm/v1/types_pb.ts";
import { version } from "#proto/version.ts";
import { FakeCluster } from "../testing/fake-cluster.ts";
import { FakeControl } from "../testing/fake-control.ts";
import { runCli } from "../testing/run-cli.ts";

const mib = 1024n * 1024n;

/** Two nodes, each with an image and a volume; what is pruned is kept. */
async function open(pruned: string[] = []): Promise<FakeCluster> {
  const control = new FakeControl();
  return await FakeCluster.open({
    control: control.handlers,
    node: {
      getInfo: async () =>
        create(GetInfoResponseSchema, { nodeId: "n1", role: NodeRole.WORKER, version: "0.1.0" }),
    },
    images: {
      listImages: async () => ({
        images: [{ id: "sha256:abc", references: ["docker.io/library/busybox:1"], sizeBytes: mib }],
      }),
      pruneImages: async ({ all }) => {
        pruned.push(all ? "all images" : "images");
        return { deleted: [], reclaimedBytes: 0n };
      },
    },
    volumes: {
      listVolumes: async () => ({
        volumes: [{ name: "data", driver: "local", labels: { tier: "a" }, sizeBytes: 2n * mib }],
      }),
      pruneVolumes: async ({ labels }) => {
        pruned.push(`volumes ${Object.keys(labels).join()}`);
        return { deleted: [], reclaimedBytes: 0n };
      },
    },
    engine: {
      getDiskUsage: async () => ({ usages: [{ kind: "images", count: 1, sizeBytes: mib }] }),
    },
  });
}

describe("formats of what nodes have", () => {
  const lines: [string[], string][] = [
    [["volume", "ls", "--format", "{{.Name}} {{.Driver}} {{.Label `tier`}}"], "data local a"],
    [["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"], "busybox:1"],
    [["image", "ls", "-f", "reference=busy*", "-q"], "abc"],
    [["system", "df", "--format", "{{.Type}} {{.TotalCount}}"], "Images 1"],
  ];
  for (const [argv, expected] of lines) {
    it(argv.join(" "), async () => {
      await using cluster = await open();
      const { stdout, stderr } = await runCli(cluster, argv);
      assert.equal(stderr, "");
      // Of each of the two nodes; an ID is printed once.
      assert.deepEqual([...new Set(stdout.trim().split("\n"))], [expected]);
    });
  }

  it("system df -v lists images and volumes, too", async () => {
    await using cluster = await open();
    const { stdout } = await runCli(cluster, ["system", "df", "--verbose"]);
    assert.match(stdout, /^Images space usage:\n\nNODE +REPOSITORY[^]+busybox/m);
    assert.match(stdout, /^Local Volumes space usage:\n\n[^]+data +2.097MB/m);
  });
});

describe("system prune", () => {
  const prunes: [string, string[]][] = [
    ["", ["images"]],
    ["--all --volumes", ["volumes ", "all images"]],
    ["--volumes --filter label=tier=a", ["volumes tier"]],
  ];
  for (const [flags, expected] of prunes) {
    it(`of ${flags || "what nobody uses"}`, async () => {
      const pruned: string[] = [];
      await using cluster = await open(pruned);
      const argv = ["system", "prune", "--force", ...flags.split(" ").filter(Boolean)];
      const { code, stderr } = await runCli(cluster, argv);
      assert.deepEqual([code, stderr], [0, ""]);
      assert.deepEqual([...new Set(pruned)], expected);
    });
  }
});

it("info and version say what a template asks for", async () => {
  await using cluster = await open();
  const run = async (...argv: string[]) => (await runCli(cluster, argv)).stdout;
  for (const words of [["info"], ["system", "info"], ["cluster", "info"]]) {
    assert.equal(await run(...words, "--format", "{{.NodeId}} {{.Role}}"), "n1 worker\n");
  }
  assert.match(await run("system", "info"), /^Swarm: active/);
  const format = "{{.Client.Version}} {{.Server.Version}}";
  assert.equal(await run("version", "-f", format), `${version} 0.1.0\n`);
});
