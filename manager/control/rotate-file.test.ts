import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toJsonString } from "@bufbuild/protobuf";
import { RotateSecretResponseSchema } from "#proto/gen/swarm/v1/control_pb.ts";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { ServiceSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { UpdateState, UpdateStatusSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { containerOf } from "../registry-login.ts";
import { type ControlGround, openControl, openManagers } from "./testing/control-ground.ts";

const bytes = (text: string) => Buffer.from(text);

async function createSecret(client: ControlGround["client"], name: string, text = "one") {
  const annotations = { name, labels: { stage: "test" } };
  const templating = { name: "golang" };
  const { secret } = await client.createSecret({
    spec: { annotations, data: bytes(text), templating },
  });
  assert.ok(secret);
  return secret;
}

async function createService(client: ControlGround["client"], name: string, secretName: string) {
  const spec = create(ServiceSpecSchema, {
    annotations: { name },
    mode: { case: "replicated", value: { replicas: 1n } },
    task: {
      runtime: {
        case: "container",
        value: { image: "busybox", secrets: [{ secretName, file: { name: "target" } }] },
      },
    },
  });
  const { service } = await client.createService({ spec });
  assert.ok(service);
  return service;
}

const referenceOf = (service: Service | undefined) => containerOf(service?.spec)?.secrets[0];

test("rotation, a secret: the name, labels and templating go on, services refer to the new one", async () => {
  const { client, store } = openControl();
  const old = await createSecret(client, "db");
  const [web, other] = [
    await createService(client, "web", "db"),
    await createService(client, "other", (await createSecret(client, "else")).id),
  ];
  const response = await client.rotateSecret({ ref: "db", data: bytes("two") });
  const { secret, serviceIds, unchanged } = response;
  assert.ok(secret);
  assert.deepEqual([serviceIds, unchanged], [[web.id], false]);
  assert.ok(!toJsonString(RotateSecretResponseSchema, response).includes("data"));
  const stored = store.get("secret", secret.id)?.spec;
  assert.equal(Buffer.from(stored?.data ?? []).toString(), "two");
  assert.deepEqual(stored?.annotations?.labels, { stage: "test" });
  assert.equal(stored?.templating?.name, "golang");
  assert.equal((await client.getSecret({ ref: "db" })).secret?.id, secret.id);
  const aside = store.get("secret", old.id);
  const name = `db.${old.meta?.version?.index}`;
  assert.deepEqual([aside?.spec?.annotations?.name, aside?.rotatedFrom], [name, "db"]);
  const after = store.get("service", web.id);
  const reference = referenceOf(after);
  assert.deepEqual(
    [reference?.secretId, reference?.secretName, reference?.file?.name],
    [secret.id, "db", "target"],
  );
  assert.equal(after?.specVersion?.index, web.meta?.version?.index);
  assert.equal(containerOf(after?.previousSpec)?.secrets[0]?.secretId, old.id);
  assert.deepEqual(store.get("service", other.id)?.meta, other.meta);
});

test("rotation, the same data: nothing is done", async () => {
  const { client, store } = openControl();
  const old = await createSecret(client, "db");
  await createService(client, "web", "db");
  const before = store.index;
  const { secret, serviceIds, unchanged } = await client.rotateSecret({
    ref: "db",
    data: bytes("one"),
  });
  assert.deepEqual([secret?.id, serviceIds, unchanged], [old.id, [], true]);
  assert.equal(store.index, before);
});

test("rotation, one that was rotated is refused, and so are data that no secret may have", async () => {
  const { client } = openControl();
  const old = await createSecret(client, "db");
  await assert.rejects(client.rotateSecret({ ref: "db", data: bytes("") }), {
    message: /data has 0 bytes/,
  });
  await assert.rejects(client.rotateSecret({ ref: "db", data: bytes("hidden {{ .No }}") }), {
    message: /^data has a mistake in the template (?!.*hidden)/,
  });
  await client.rotateSecret({ ref: "db", data: bytes("two") });
  await assert.rejects(client.rotateSecret({ ref: old.id, data: bytes("three") }), {
    message: /it was rotated itself; rotate "db"$/,
  });
});

test("rotation, concurrent ones come one after the other", async () => {
  const { client, store } = openControl();
  await createSecret(client, "db");
  const web = await createService(client, "web", "db");
  const texts = ["two", "three", "four"];
  const answers = await Promise.all(
    texts.map((text) => client.rotateSecret({ ref: "db", data: bytes(text) })),
  );
  const { secret } = await client.getSecret({ ref: "db" });
  assert.ok(answers.some((answer) => answer.secret?.id === secret?.id));
  assert.equal(referenceOf(store.get("service", web.id))?.secretId, secret?.id);
  const names = store.list("secret").map(({ spec }) => spec?.annotations?.name);
  assert.equal(new Set(names).size, 4);
});

test("rotation, at several managers at once: one after the other, and every service has the last", async () => {
  const [first, second] = await openManagers(2);
  assert.ok(first && second);
  await createSecret(first.client, "db");
  const web = await createService(first.client, "web", "db");
  const answers = await Promise.all(
    [first, second, first, second].map(({ client }, index) =>
      client.rotateSecret({ ref: "db", data: bytes(`number ${index}`) }),
    ),
  );
  assert.deepEqual(
    answers.map(({ serviceIds }) => serviceIds),
    answers.map(() => [web.id]),
  );
  await second.log.barrier();
  const present = second.store.byName("secret", "db");
  assert.equal(referenceOf(second.store.get("service", web.id))?.secretId, present?.id);
  const aside = second.store.list("secret").filter(({ rotatedFrom }) => rotatedFrom === "db");
  assert.equal(aside.length, 4);
});

test("rotation, a rollback goes to the old data while they are there, then to the present ones of the name", async () => {
  const { client, store, remove } = openControl();
  const old = await createSecret(client, "db");
  const { id } = await createService(client, "web", "db");
  const rollBack = async () => {
    const version = store.get("service", id)?.meta?.version;
    assert.ok(version);
    const { service } = await client.updateService({ ref: "web", version, rollback: true });
    return referenceOf(service);
  };
  const { secret } = await client.rotateSecret({ ref: "db", data: bytes("two") });
  const back = await rollBack();
  assert.deepEqual([back?.secretId, back?.secretName], [old.id, "db"]);
  await assert.rejects(client.removeSecret({ ref: old.id }), { message: /used by service "web"/ });
  await rollBack();
  const aside = store.get("secret", old.id);
  assert.ok(aside);
  await remove("secret", aside);
  assert.equal((await rollBack())?.secretId, secret?.id);
});

test("rotation, what was rotated is not removed by hand while an update may go back to it", async () => {
  const { client, put, store } = openControl();
  const old = await createSecret(client, "db");
  const { id } = await createService(client, "web", "db");
  await client.rotateSecret({ ref: "db", data: bytes("two") });
  const service = store.get("service", id);
  assert.ok(service);
  const updateStatus = (state: UpdateState) => create(UpdateStatusSchema, { state });
  await put("service", { ...service, updateStatus: updateStatus(UpdateState.UPDATING) });
  await assert.rejects(client.removeSecret({ ref: old.id }), {
    message: /^Cannot remove secret "db\.\d+": it was rotated, .* it goes by itself after that$/,
  });
  await put("service", { ...service, updateStatus: updateStatus(UpdateState.COMPLETED) });
  await client.removeSecret({ ref: old.id });
});

test("rotation, a service that was rolled back to what was rotated gets the next one", async () => {
  const { client, store } = openControl();
  await createSecret(client, "db");
  const { id } = await createService(client, "web", "db");
  await client.rotateSecret({ ref: "db", data: bytes("two") });
  const version = store.get("service", id)?.meta?.version;
  assert.ok(version);
  await client.updateService({ ref: "web", version, rollback: true });
  const { secret, serviceIds } = await client.rotateSecret({ ref: "db", data: bytes("three") });
  assert.deepEqual(serviceIds, [id]);
  assert.equal(referenceOf(store.get("service", id))?.secretId, secret?.id);
});

test("rotation, a config likewise", async () => {
  const { client, store } = openControl();
  const { config: old } = await client.createConfig({
    spec: { annotations: { name: "site" }, data: bytes("one") },
  });
  assert.ok(old);
  const spec = create(ServiceSpecSchema, {
    annotations: { name: "web" },
    mode: { case: "replicated", value: { replicas: 1n } },
    task: {
      runtime: { case: "container", value: { image: "b", configs: [{ configName: "site" }] } },
    },
  });
  const { service } = await client.createService({ spec });
  assert.ok(service);
  const { config, serviceIds } = await client.rotateConfig({ ref: "site", data: bytes("two") });
  assert.deepEqual([serviceIds, config?.spec?.data.length], [[service.id], 0]);
  const [reference] = containerOf(store.get("service", service.id)?.spec)?.configs ?? [];
  assert.equal(reference?.configId, config?.id);
  assert.equal(store.get("config", old.id)?.rotatedFrom, "site");
});
