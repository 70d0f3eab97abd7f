/** What `docker service create` and `update` make of flags, and what ours make of the same, is the same service. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { FakeCluster } from "#swarmctl/testing/fake-cluster.ts";
import { FakeControl } from "#swarmctl/testing/fake-control.ts";
import { runCli } from "#swarmctl/testing/run-cli.ts";
import { cases, image, wordsOf } from "./cases.ts";
import { plainDocker, plainOurs } from "./plain.ts";

const answers = new Map<string, unknown[]>(
  Object.entries(JSON.parse(readFileSync(new URL("docker-answers.json", import.meta.url), "utf8"))),
);

for (const [created, ...updates] of cases) {
  test(`service ${created}, is the same as Docker's`, async () => {
    const control = new FakeControl();
    await using cluster = await FakeCluster.open({ control: control.handlers });
    await runCli(cluster, ["network", "create", "net"]);
    const create = ["create", "-d", "--no-resolve-image", "--name", "web", ...wordsOf(created)];
    const steps = [
      [...create, image, "top"],
      ...updates.map((flags) => ["update", "-d", ...wordsOf(flags), "web"]),
    ];
    for (const [index, words] of steps.entries()) {
      const { code, stderr } = await runCli(cluster, ["service", ...words]);
      assert.equal(code, 0, stderr);
      const [service] = control.services.values();
      assert.ok(service?.spec !== undefined);
      const docker = plainDocker(answers.get(created)?.[index]);
      assert.deepEqual(plainOurs(service.spec), docker, words.join(" "));
    }
  });
}
