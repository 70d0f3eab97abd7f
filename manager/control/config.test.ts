import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ServiceSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { testTaskSpec } from "../testing/fixtures.ts";
import { openControl } from "./testing/control-ground.ts";

function configSpec(name: string, data: Uint8Array = Uint8Array.from([7])) {
  return { annotations: { name, labels: { stage: "test" } }, data };
}

test("config, created, found by name, listed by label, removed", async () => {
  const { client } = openControl();
  const { config } = await client.createConfig({ spec: configSpec("app.conf") });
  assert.ok(config);
  const got = await client.getConfig({ ref: "app.conf" });
  assert.deepEqual(got.config?.spec?.data, Uint8Array.from([7]));
  await client.createConfig({ spec: { ...configSpec("other"), annotations: { name: "other" } } });
  const { configs } = await client.listConfigs({ labels: { stage: "" } });
  assert.deepEqual(configs, [got.config]);
  assert.equal((await client.removeConfig({ ref: config.id.slice(0, 8) })).configId, config.id);
  await assert.rejects(client.getConfig({ ref: "app.conf" }), { code: "not-found" });
});

test("config, a taken name is refused as existing", async () => {
  const { client } = openControl();
  await client.createConfig({ spec: configSpec("a") });
  await assert.rejects(client.createConfig({ spec: configSpec("a") }), { code: "already-exists" });
});

test("config, is not removed while services use it, which are named", async () => {
  const { client, put } = openControl();
  const { config } = await client.createConfig({ spec: configSpec("a") });
  assert.ok(config);
  const task = testTaskSpec({
    runtime: { case: "container", value: { image: "b", configs: [{ configId: config.id }] } },
  });
  for (const name of ["web", "db"]) {
    await put(
      "service",
      create(ServiceSchema, { id: name, spec: { annotations: { name }, task } }),
    );
  }
  await assert.rejects(client.removeConfig({ ref: "a" }), {
    code: "failed-precondition",
    message: 'Cannot remove config "a": it is used by services "web", "db"',
  });
});

const refusals: readonly [string, object, RegExp][] = [
  ["no name", configSpec(""), /annotations.name is empty/],
  ["a name with a slash", configSpec("a/b"), /annotations.name "a\/b" is not valid/],
  ["a long name", configSpec("a".repeat(65)), /use 1 to 64/],
  ["no data", configSpec("a", new Uint8Array()), /data has 0 bytes/],
  ["too much data", configSpec("a", new Uint8Array(1_024_001)), /use 1 to 1024000/],
  [
    "a bad template",
    { ...configSpec("a", Buffer.from("{{x}}")), templating: { name: "golang" } },
    /data: the template at character 1/,
  ],
];
for (const [what, spec, message] of refusals) {
  test(`config, refuses ${what}`, async () => {
    await assert.rejects(openControl().client.createConfig({ spec }), { message });
  });
}
