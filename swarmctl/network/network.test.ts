import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Fault } from "#proto/fault.ts";
import { type Network, NetworkSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { localNetwork } from "#proto/main-network.ts";
import { systemClock } from "#proto/system-ports.ts";
import { timestampFromMs } from "#proto/time.ts";
import { FakeCluster } from "../testing/fake-cluster.ts";
import { FakeControl } from "../testing/fake-control.ts";
import { idOf, nowMs } from "../testing/objects.ts";
import { runCli } from "../testing/run-cli.ts";

interface Given {
  readonly labels?: Record<string, string>;
  readonly ingress?: true;
  readonly ageMs?: number;
}

function aNetwork(name: string, { labels = {}, ingress, ageMs = 0 }: Given = {}): Network {
  return create(NetworkSchema, {
    id: idOf(name),
    meta: { createdAt: timestampFromMs(nowMs - ageMs) },
    spec: {
      annotations: { name, labels },
      driverConfig: { name: "overlay" },
      ...(ingress && { ingress }),
    },
  });
}

const hourMs = 3_600_000;

/** A manager that has these networks, and keeps "used". */
async function open(): Promise<FakeCluster> {
  const control = new FakeControl();
  for (const network of [
    aNetwork("back", { labels: { tier: "a" }, ageMs: 2 * hourMs }),
    aNetwork("front"),
    aNetwork("used"),
    aNetwork("ingress", { ingress: true }),
    localNetwork("bridge"),
  ]) {
    control.networks.set(network.id, network);
  }
  const removeNetwork = async ({ ref }: { ref: string }) => {
    if (ref === idOf("used")) throw new Fault("failed-precondition", "it is in use");
    if (!control.networks.delete(ref)) throw new Fault("not-found", `No network "${ref}"`);
    return { networkId: ref };
  };
  return await FakeCluster.open({ control: { ...control.handlers, removeNetwork } });
}

describe("network ls", () => {
  const filters: [string, string][] = [
    ["--filter driver=bridge", "bridge"],
    ["--filter label=tier", "back"],
    ["--filter type=builtin", "bridge ingress"],
    ["-f type=custom -f name=r", "front"],
    ["-f scope=local", "bridge"],
    ["-f dangling=true", "back front used"],
  ];
  for (const [flags, names] of filters) {
    it(flags, async () => {
      await using cluster = await open();
      const argv = ["network", "ls", "--format", "{{.Name}}", ...flags.split(" ")];
      const { stdout, stderr } = await runCli(cluster, argv);
      assert.equal(stderr, "");
      assert.equal(stdout.trim().split("\n").join(" "), names);
    });
  }

  it("says labels and when a network was made as Docker does", async () => {
    await using cluster = await open();
    const words = ["--format", '{{.Labels}} {{.Label "tier"}} {{.CreatedAt}}', "-f", "name=back"];
    const { stdout } = await runCli(cluster, ["network", "ls", ...words]);
    assert.match(stdout, /^tier=a a \d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d*[1-9])? \+0000 UTC\n$/);
  });

  it("shows whole IDs with --no-trunc", async () => {
    await using cluster = await open();
    const { stdout } = await runCli(cluster, ["network", "ls", "--no-trunc", "-q", "-f", "name=u"]);
    assert.equal(stdout, `${idOf("used")}\n`);
  });

  it("refuses a filter that there is not, and says which one was meant", async () => {
    const { code, stderr } = await runCli(
      { runRoot: "/nowhere" },
      "network ls --filter drivr=overlay".split(" "),
    );
    assert.equal(code, 2);
    assert.match(stderr, /no filter "drivr", did you mean "?driver"?/);
  });
});

describe("network prune", () => {
  const prunes: [string, readonly string[]][] = [
    ["", ["back", "front"]],
    ["--filter until=1h", ["back"]],
    ["--filter label=tier=a", ["back"]],
    ["--filter label!=tier", ["front"]],
  ];
  for (const [flags, names] of prunes) {
    it(`removes what no service uses: ${flags || "all"}`, async () => {
      await using cluster = await open();
      const argv = ["network", "prune", "--force", ...flags.split(" ").filter(Boolean)];
      const clock = { ...systemClock, now: () => nowMs };
      const { code, stdout } = await runCli(cluster, argv, { clock });
      assert.equal(code, 0);
      assert.equal(stdout, ["Deleted Networks:", ...names, ""].join("\n"));
    });
  }

  it("asks first", async () => {
    await using cluster = await open();
    const { stdout, stderr } = await runCli(cluster, ["network", "prune"], { stdin: "n\n" });
    assert.equal(stdout, "");
    assert.match(stderr, /^WARNING! This will remove all custom networks that no service uses/);
  });
});

describe("network rm", () => {
  it("with --force takes one that is not there for gone, and no other refusal", async () => {
    await using cluster = await open();
    const { code, stdout, stderr } = await runCli(cluster, [
      ..."network rm -f none".split(" "),
      idOf("front"),
      idOf("used"),
    ]);
    assert.deepEqual([code, stdout], [1, `${idOf("front")}\n`]);
    assert.match(stderr, /in use/);
  });
});

describe("network create", () => {
  it("refuses to be without IPv4", async () => {
    const { code, stderr } = await runCli(
      { runRoot: "/nowhere" },
      "network create --ipv4=false x".split(" "),
    );
    assert.equal(code, 2);
    assert.match(stderr, /no network without IPv4/);
  });
});
