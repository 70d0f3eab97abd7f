import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { type Config, ConfigSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { timestampFromMs } from "#proto/time.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { FakeCluster, type FakeHost } from "../testing/fake-cluster.ts";
import { idOf, nowMs } from "../testing/objects.ts";
import { runCli } from "../testing/run-cli.ts";

function configControl(): FakeHost["control"] {
  let config: Config | undefined;
  return {
    createConfig: async ({ spec }) => {
      const createdAt = timestampFromMs(nowMs);
      const meta = { createdAt, updatedAt: createdAt };
      const id = idOf(spec?.annotations?.name ?? "");
      config = create(ConfigSchema, { id, meta, ...(spec && { spec }) });
      return { config };
    },
    getConfig: async () => (config === undefined ? {} : { config }),
    listConfigs: async () => ({ configs: config === undefined ? [] : [config] }),
    removeConfig: async () => {
      config = undefined;
      return {};
    },
  };
}

describe("config", () => {
  it("is created from a file or stdin, listed, inspected and removed", async () => {
    await using cluster = await FakeCluster.open({ control: configControl() ?? {} });
    const words = ["config", "create", "-l", "stage=test", "app.conf", "-"];
    const made = await runCli(cluster, words, { stdin: "x = 1" });
    assert.deepEqual(made, { code: 0, stdout: `${idOf("app.conf")}\n`, stderr: "" });
    const clock = new FakeClock(nowMs + 120_000);
    const { stdout } = await runCli(cluster, ["config", "ls"], { clock });
    assert.match(stdout, /^appconf0+ +app\.conf +2 minutes ago +2 minutes ago$/m);
    const inspected = await runCli(cluster, ["config", "inspect", "app.conf"]);
    const [{ spec }] = JSON.parse(inspected.stdout);
    assert.deepEqual(spec.annotations.labels, { stage: "test" });
    assert.equal(Buffer.from(spec.data, "base64").toString(), "x = 1");
    assert.equal((await runCli(cluster, ["config", "rm", "app.conf"])).stdout, "app.conf\n");
    assert.equal((await runCli(cluster, ["config", "ls", "-q"])).stdout, "");
  });

  it("needs a file that is there", async () => {
    const { stderr } = await runCli({ runRoot: "/nowhere" }, ["config", "create", "a", "/nope"]);
    assert.equal(stderr, 'swarmctl: Cannot read "/nope": no such file or folder\n');
  });
});
