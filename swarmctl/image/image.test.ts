import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { type Image, ImageSchema } from "#proto/gen/swarm/v1/engine_pb.ts";
import { timestampFromMs } from "#proto/time.ts";
import { FakeCluster, type FakeHost } from "../testing/fake-cluster.ts";
import { FakeControl } from "../testing/fake-control.ts";
import { aNode } from "../testing/objects.ts";
import { runCli } from "../testing/run-cli.ts";

const nodes = [aNode("h1", true), aNode("h2")];
const idOf = (letter: string) => `sha256:${letter.repeat(64)}`;

function anImage(letter: string, references: readonly string[], inUse = false): Image {
  return create(ImageSchema, {
    id: idOf(letter),
    references: [...references],
    digests: [`docker.io/library/x@${idOf("d")}`],
    sizeBytes: 1_500_000n,
    inUse,
    createdAt: timestampFromMs(0),
  });
}

const nginx = anImage("a", ["docker.io/library/nginx:1", "registry:5000/web:2"], true);
const nameless = anImage("b", []);

/** h1 has both images, h2 only the first. What is loaded, is kept as bytes. */
class FakeImages {
  readonly loaded = new Map<string, string>();
  readonly handlers: NonNullable<FakeHost["images"]> = {
    listImages: async (_, context) => ({ images: this.#of(context) }),
    getImage: async ({ ref }, context) => ({
      image: this.#get(ref, context),
      config: JSON.stringify({
        history: [
          { created: "1970-01-01T00:00:00Z", created_by: "ADD file", comment: "first" },
          { created_by: "ENV A=b", empty_layer: true },
        ],
      }),
      manifest: "{}",
      layers: [{ digest: idOf("c"), diffId: idOf("e"), sizeBytes: 1_000n }],
    }),
    removeImage: async ({ ref, force }, context) => {
      const image = this.#get(ref, context);
      if (image.inUse && !force) {
        throw new Fault("failed-precondition", `image "${ref}" is in use by task t`);
      }
      return { untagged: image.references, deleted: [image.id], reclaimedBytes: 5n };
    },
    pruneImages: async ({ all }, context) => ({
      deleted: this.#of(context)
        .filter(({ references }) => all || references.length === 0)
        .map(({ id }) => id),
      reclaimedBytes: 1_000n,
    }),
    async *pullImage({ reference }) {
      yield { message: "downloading", completedBytes: 1n, totalBytes: 2n };
      yield { message: "complete", image: anImage("f", [`docker.io/library/${reference}:latest`]) };
    },
    loadImages: async (requests, { metadata }) => {
      let text = "";
      for await (const { data } of requests) text += Buffer.from(data).toString();
      this.loaded.set(metadata.get("swarm-node") ?? "", text);
      return { images: [nginx] };
    },
    async *saveImages({ refs }) {
      yield { data: Buffer.from(`tar of ${refs.join(", ")}`) };
    },
  };

  #of({ metadata }: { readonly metadata: ReadonlyMap<string, string> }): Image[] {
    return metadata.get("swarm-node") === nodes[0]?.id ? [nginx, nameless] : [nginx];
  }

  #get(ref: string, context: { readonly metadata: ReadonlyMap<string, string> }): Image {
    const named = { nginx, b: nameless }[ref];
    const image = this.#of(context).find((one) => one === named);
    if (image !== undefined) return image;
    throw new Fault("not-found", `there is no image "${ref}" on this node`);
  }
}

async function openCluster() {
  const images = new FakeImages();
  const getNode = async ({ ref }: { readonly ref: string }) => {
    const node = nodes.find(({ description }) => description?.hostname === ref);
    if (node === undefined) throw new Fault("not-found", `node "${ref}" not found`);
    return { node };
  };
  const usage = { count: 2, active: 1, sizeBytes: 2_000n, reclaimableBytes: 500n };
  const cluster = await FakeCluster.open({
    control: { ...new FakeControl().handlers, getNode },
    images: images.handlers,
    engine: { getDiskUsage: async () => ({ usages: [{ kind: "images", ...usage }] }) },
  });
  return { cluster, images };
}

describe("image", () => {
  it("is listed, a row for each tag and node; filters, IDs and digests as Docker's", async () => {
    const { cluster } = await openCluster();
    await using _cluster = cluster;
    const list = await runCli(cluster, ["image", "ls"]);
    const lines = list.stdout.split("\n").map((line) => line.replaceAll(/ {2,}/g, "|"));
    assert.equal(lines[0], "NODE|REPOSITORY|TAG|IMAGE ID|CREATED|SIZE|IN USE");
    assert.match(lines[1] ?? "", /^h1\|nginx\|1\|a{12}\|[0-9]+ years ago\|1\.5MB\|yes$/);
    assert.match(lines[2] ?? "", /^h1\|registry:5000\/web\|2\|/);
    assert.match(lines[3] ?? "", /^h1\|x\|<none>\|b{12}\|/);
    assert.equal(lines.length, 7);
    const quiet = async (...flags: string[]) =>
      (await runCli(cluster, ["image", "ls", "-q", ...flags])).stdout;
    assert.equal(await quiet("--no-trunc", "-f", "dangling=true"), `${nameless.id}\n`);
    assert.equal(await quiet("nginx:1"), `${"a".repeat(12)}\n`);
    assert.equal(await quiet("-f", "reference=registry:5000/*"), `${"a".repeat(12)}\n`);
    assert.equal(await quiet("--node", "h2", "-f", "in-use=false"), "");
    const digests = await runCli(cluster, ["image", "ls", "--digests", "--node", "h2"]);
    assert.ok(digests.stdout.includes(idOf("d")));
    assert.equal((await runCli(cluster, ["image", "ls", "-f", "nosuch=1"])).code, 2);
  });

  it("is pulled, inspected and told in its steps", async () => {
    const { cluster } = await openCluster();
    await using _cluster = cluster;
    const pulled = await runCli(cluster, ["image", "pull", "app"], {
      env: { HOME: "/nonexistent" },
    });
    assert.equal(pulled.stdout, "app:latest\n");
    assert.match(pulled.stderr, /h[12]: downloading\n/);
    const inspected = await runCli(cluster, ["image", "inspect", "nginx", "b"]);
    const found = JSON.parse(inspected.stdout) as { nodes: string[]; id: string }[];
    assert.deepEqual(
      found.map(({ nodes: on, id }) => [on, id]),
      [
        [["h1", "h2"], nginx.id],
        [["h1"], nameless.id],
      ],
    );
    const history = await runCli(cluster, ["image", "history", "nginx"]);
    assert.match(
      history.stdout,
      /\na{12} +N\/A +ENV A=b +0B\n<missing> +.* ago +ADD file +1kB +first\n$/,
    );
    const format = ["--format", "{{.CreatedAt}}"];
    const moments = await runCli(cluster, ["image", "history", ...format, "nginx"]);
    assert.match(moments.stdout, /^\n\d{4}-\d\d-\d\dT/);
  });

  it("is removed where it is; a node that refuses is named", async () => {
    const { cluster } = await openCluster();
    await using _cluster = cluster;
    const removed = await runCli(cluster, ["image", "rm", "b"]);
    assert.deepEqual(removed, { code: 0, stdout: `Deleted: ${nameless.id}\n`, stderr: "" });
    const refused = await runCli(cluster, ["image", "rm", "nginx", "none"]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /Node "h1": image "nginx" is in use by task t/);
    assert.match(refused.stderr, /There is no image "none" on any node/);
    const forced = await runCli(cluster, ["image", "rm", "-f", "nginx"]);
    assert.match(forced.stdout, /^Untagged: nginx:1\nUntagged: registry:5000\/web:2\nDeleted: /);
    const no = await runCli(cluster, ["image", "prune"], { stdin: "n\n" });
    assert.match(no.stderr, /remove all images without a tag on all nodes/);
    const pruned = await runCli(cluster, ["image", "prune", "-f"]);
    assert.equal(pruned.stdout, `Deleted Images:\n${nameless.id}\n\nTotal reclaimed space: 2kB\n`);
  });

  it("is saved to a file and loaded onto all nodes", async () => {
    const { cluster, images } = await openCluster();
    await using _cluster = cluster;
    const folder = await mkdtemp(join(tmpdir(), "image-test-"));
    await using cleanup = new AsyncDisposableStack();
    cleanup.defer(() => rm(folder, { recursive: true }));
    const file = join(folder, "images.tar");
    const saved = await runCli(cluster, ["image", "save", "-o", file, "nginx", "b"]);
    assert.deepEqual(saved, { code: 0, stdout: "", stderr: "" });
    assert.equal(await readFile(file, "utf8"), "tar of nginx, b");
    const none = await runCli(cluster, ["image", "save", "-o", file, "none"]);
    assert.equal(none.stderr, 'swarmctl: No node has "none"\n');
    await writeFile(file, "x".repeat(600_000));
    const loaded = await runCli(cluster, ["image", "load", file]);
    assert.match(loaded.stdout, /^h1: Loaded image: nginx:1\nh1: .*\nh2: Loaded image: nginx:1\n/);
    assert.deepEqual(
      [...images.loaded.values()].map(({ length }) => length),
      [600_000, 600_000],
    );
    const piped = await runCli(cluster, ["image", "load"], { stdin: "x" });
    assert.match(piped.stderr, /name one node with --node/);
    const one = await runCli(cluster, ["image", "load", "--node", "h2", "-q"], { stdin: "piped" });
    assert.equal(one.stdout, "nginx:1\nregistry:5000/web:2\n");
  });

  it("and all else that disks hold, is told by system df", async () => {
    const { cluster } = await openCluster();
    await using _cluster = cluster;
    const { stdout } = await runCli(cluster, ["system", "df"]);
    assert.equal(
      stdout.replaceAll(/ {2,}/g, "|"),
      "NODE|TYPE|TOTAL|ACTIVE|SIZE|RECLAIMABLE\nh1|Images|2|1|2kB|500B (25%)\nh2|Images|2|1|2kB|500B (25%)\n",
    );
  });
});
