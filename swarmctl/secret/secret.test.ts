import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { type Secret, SecretSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { timestampFromMs } from "#proto/time.ts";
import { FakeCluster, type FakeHost } from "../testing/fake-cluster.ts";
import { idOf, nowMs } from "../testing/objects.ts";
import { runCli } from "../testing/run-cli.ts";

describe("secret", () => {
  it("is created from a file or stdin, listed, inspected and removed", async () => {
    const data: string[] = [];
    let secret: Secret | undefined;
    const control: NonNullable<FakeHost["control"]> = {
      createSecret: async ({ spec }) => {
        data.push(Buffer.from(spec?.data ?? []).toString());
        const createdAt = timestampFromMs(nowMs);
        const id = idOf(spec?.annotations?.name ?? "");
        const kept = { ...spec, data: new Uint8Array() };
        secret = create(SecretSchema, { id, meta: { createdAt }, spec: kept as never });
        return { secret };
      },
      getSecret: async () => (secret === undefined ? {} : { secret }),
      listSecrets: async () => ({ secrets: secret === undefined ? [] : [secret] }),
      removeSecret: async () => {
        secret = undefined;
        return {};
      },
    };
    await using cluster = await FakeCluster.open({ control });
    const words = ["secret", "create", "-l", "a=b", "--template-driver", "golang", "db", "-"];
    const made = await runCli(cluster, words, { stdin: "hunter2" });
    assert.deepEqual(made, { code: 0, stdout: `${idOf("db")}\n`, stderr: "" });
    assert.deepEqual(data, ["hunter2"]);
    const { stdout } = await runCli(cluster, ["secret", "ls"]);
    assert.match(stdout, /^ID +NAME +DRIVER +CREATED +UPDATED\ndb0+ +db /);
    const quiet = async (filter: string) =>
      (await runCli(cluster, ["secret", "ls", "-q", "--filter", filter])).stdout.length > 0;
    assert.deepEqual(
      await Promise.all(["label=a", "label=a=b", "label=a=c", "name=d", "name=x"].map(quiet)),
      [true, true, false, true, false],
    );
    const wrong = await runCli(cluster, ["secret", "ls", "--filter", "size=1"]);
    assert.match(wrong.stderr, /no filter "size": there are id, name, label/);
    const [inspected] = JSON.parse((await runCli(cluster, ["secret", "inspect", "db"])).stdout);
    assert.deepEqual(inspected.spec.annotations.labels, { a: "b" });
    assert.equal(inspected.spec.templating.name, "golang");
    assert.equal((await runCli(cluster, ["secret", "rm", "db"])).stdout, "db\n");
    assert.equal((await runCli(cluster, ["secret", "ls", "-q"])).stdout, "");
  });
});
