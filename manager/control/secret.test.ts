import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toJsonString } from "@bufbuild/protobuf";
import { ListSecretsResponseSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import { ServiceSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { Fault } from "#proto/fault.ts";
import { testTaskSpec } from "../testing/fixtures.ts";
import { openControl } from "./testing/control-ground.ts";

const data = Buffer.from("hunter2");

function secretSpec(name: string, bytes: Uint8Array = data) {
  return { annotations: { name, labels: { stage: "test" } }, data: bytes };
}

test("secret, created, found by name, listed by label, removed, its data never shown", async () => {
  const { client, store } = openControl();
  const { secret } = await client.createSecret({ spec: secretSpec("db") });
  assert.ok(secret);
  await client.createSecret({ spec: { annotations: { name: "other" }, data } });
  const { secret: got } = await client.getSecret({ ref: "db" });
  const list = await client.listSecrets({ labels: { stage: "" } });
  assert.deepEqual(list.secrets, [got]);
  const json = toJsonString(ListSecretsResponseSchema, list);
  for (const shown of [secret, got]) assert.equal(shown?.spec?.data.length, 0);
  assert.ok(!json.includes(data.toString("base64")));
  assert.deepEqual(Buffer.from(store.get("secret", secret.id)?.spec?.data ?? []), data);
  assert.equal((await client.removeSecret({ ref: secret.id.slice(0, 8) })).secretId, secret.id);
  await assert.rejects(client.getSecret({ ref: "db" }), { code: "not-found" });
});

test("secret, a taken name is refused as existing", async () => {
  const { client } = openControl();
  await client.createSecret({ spec: secretSpec("a") });
  await assert.rejects(client.createSecret({ spec: secretSpec("a") }), { code: "already-exists" });
});

test("secret, its labels change and nothing else", async () => {
  const { client, store } = openControl();
  const { secret } = await client.createSecret({ spec: secretSpec("a") });
  assert.ok(secret?.meta?.version);
  const { version } = secret.meta;
  const annotations = { name: "a", labels: { stage: "live" } };
  const update = (spec: object) => client.updateSecret({ ref: "a", version, spec });
  const refused = {
    message: /^Cannot change secret "a": only its labels can change; create another secret/,
  };
  await assert.rejects(update({ annotations, data: Buffer.from("other") }), refused);
  await assert.rejects(update({ annotations: { name: "b" } }), refused);
  await assert.rejects(update({ annotations, templating: { name: "golang" } }), refused);
  const { secret: updated } = await update({ annotations });
  assert.deepEqual(updated?.spec?.annotations?.labels, { stage: "live" });
  assert.equal(updated.spec.data.length, 0);
  assert.deepEqual(Buffer.from(store.get("secret", secret.id)?.spec?.data ?? []), data);
  await assert.rejects(update({ annotations }), { code: "conflict" });
});

test("config, its labels change and nothing else", async () => {
  const { client } = openControl();
  const { config } = await client.createConfig({ spec: secretSpec("a") });
  assert.ok(config?.meta?.version && config.spec);
  const { version } = config.meta;
  const annotations = { name: "a", labels: { stage: "live" } };
  const spec = { annotations, data: config.spec.data };
  const { config: updated } = await client.updateConfig({ ref: "a", version, spec });
  assert.deepEqual(updated?.spec?.annotations?.labels, { stage: "live" });
  const other = { ref: "a", version, spec: { ...spec, data: Buffer.from("other") } };
  await assert.rejects(client.updateConfig(other), { code: "conflict" });
});

test("secret, is not removed while services use it, which are named", async () => {
  const { client, put } = openControl();
  const { secret } = await client.createSecret({ spec: secretSpec("a") });
  assert.ok(secret);
  const task = testTaskSpec({
    runtime: { case: "container", value: { image: "b", secrets: [{ secretId: secret.id }] } },
  });
  for (const name of ["web", "db"]) {
    await put(
      "service",
      create(ServiceSchema, { id: name, spec: { annotations: { name }, task } }),
    );
  }
  await assert.rejects(client.removeSecret({ ref: "a" }), {
    code: "failed-precondition",
    message: 'Cannot remove secret "a": it is used by services "web", "db"',
  });
});

const golang = { templating: { name: "golang" } };
const refusals: readonly [string, object, RegExp][] = [
  ["no name", secretSpec(""), /annotations.name is empty/],
  ["a name with a slash", secretSpec("a/b"), /annotations.name "a\/b" is not valid/],
  ["no data", secretSpec("a", new Uint8Array()), /data has 0 bytes/],
  ["too much data", secretSpec("a", new Uint8Array(512_001)), /use 1 to 512000/],
  ["a driver", { ...secretSpec("a"), driver: { name: "vault" } }, /driver is not supported yet/],
  ["another template", { ...secretSpec("a"), templating: { name: "jinja" } }, /use "golang"/],
  [
    "a bad template",
    { ...secretSpec("a", Buffer.from("x{{hunter2}}")), ...golang },
    /character 2$/,
  ],
  ["a binary template", { ...secretSpec("a", Buffer.from([255])), ...golang }, /not UTF-8/],
];
for (const [what, spec, message] of refusals) {
  test(`secret, refuses ${what} without showing the data`, async () => {
    await assert.rejects(openControl().client.createSecret({ spec }), (thrown) => {
      const { message: said } = Fault.from(thrown);
      assert.match(said, message);
      assert.ok(!said.includes("hunter2"));
      return true;
    });
  });
}
