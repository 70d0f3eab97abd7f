import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Service } from "#proto/gen/swarm/v1/objects_pb.ts";
import { type ServiceSpec, ServiceSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { PlatformSchema } from "#proto/gen/swarm/v1/types_pb.ts";
import { formatRegistryAuth } from "#registry/credentials.ts";
import { imageOf, indexOf } from "#registry/testing/test-image.ts";
import { serveImage, startServer } from "#registry/testing/test-registry.ts";
import { testTaskSpec } from "../testing/fixtures.ts";
import { openControl } from "./testing/control-ground.ts";

const login = formatRegistryAuth({ kind: "password", username: "u", password: "sesame" }, "");
const digests = ["one", "two"].map((text) => imageOf([Buffer.from(text)]).manifest.digest);

type Container = MessageInitShape<typeof ServiceSpecSchema>["annotations"] & object;

function specOf(image: string, registryAuth = "", labels: Container["labels"] = {}): ServiceSpec {
  const pullOptions = registryAuth === "" ? {} : { pullOptions: { registryAuth } };
  return create(ServiceSpecSchema, {
    annotations: { name: "web", labels },
    task: testTaskSpec({ runtime: { case: "container", value: { image, ...pullOptions } } }),
    mode: { case: "replicated", value: { replicas: 2n } },
  });
}

function containerOf(service: Service | undefined) {
  const runtime = service?.spec?.task?.runtime;
  assert.ok(runtime?.case === "container");
  return runtime.value;
}

/** A registry of which the tag can be moved, and which notes the logins that it is shown. */
async function startRegistry() {
  const state = { image: imageOf([Buffer.from("one")]), logins: new Set<string | undefined>() };
  const server = await startServer((request, response) => {
    const { authorization } = request.headers;
    state.logins.add(authorization);
    if (authorization === undefined && request.url?.startsWith("/v2/private") === true) {
      response.writeHead(401, { "www-authenticate": "Basic realm=x" }).end();
    } else serveImage(state.image, () => false)(request, response);
  });
  return { server, state };
}

test("service, its image's tag is resolved when it is asked for, and only then", async () => {
  const { server, state } = await startRegistry();
  await using _ = server;
  const { client } = openControl();
  const image = `${server.host}/team/app`;
  const plain = await client.createService({ spec: specOf(image) });
  assert.equal(containerOf(plain.service).image, image);
  const ref = plain.service?.id ?? "";
  const update = async (spec: ServiceSpec, queryRegistry: boolean) => {
    const { service } = await client.getService({ ref });
    const version = service?.meta?.version;
    return await client.updateService({ ref, spec, queryRegistry, ...(version && { version }) });
  };
  const pinned = await update(specOf(image), true);
  assert.equal(containerOf(pinned.service).image, `${image}:latest@${digests[0]}`);
  assert.deepEqual(pinned.warnings, []);
  state.image = imageOf([Buffer.from("two")]);
  const kept = await update(specOf(containerOf(pinned.service).image), true);
  assert.equal(containerOf(kept.service).image, `${image}:latest@${digests[0]}`);
  const moved = await update(specOf(`${image}:latest`), true);
  assert.equal(containerOf(moved.service).image, `${image}:latest@${digests[1]}`);
});

test("service, is only for nodes that run its image, as the registry says and nobody else", async () => {
  const { server, state } = await startRegistry();
  await using _ = server;
  const { client } = openControl();
  const image = `${server.host}/team/app`;
  const said = { os: "linux", architecture: "riscv64" };
  const wish = specOf(image, "", {});
  const container = wish.task?.runtime;
  assert.ok(container?.case === "container");
  container.value.imagePlatforms = [create(PlatformSchema, said)];
  const unasked = await client.createService({ spec: wish });
  const platforms = (service: Service | undefined) =>
    containerOf(service).imagePlatforms.map(({ os, architecture }) => `${os}/${architecture}`);
  assert.deepEqual(platforms(unasked.service), []);
  const ref = unasked.service?.id ?? "";
  const update = async (changed: string, queryRegistry: boolean) => {
    const { service } = await client.getService({ ref });
    const version = service?.meta?.version;
    const spec = specOf(changed);
    return await client.updateService({ ref, spec, queryRegistry, ...(version && { version }) });
  };
  const asked = await update(image, true);
  assert.deepEqual(platforms(asked.service), ["linux/amd64"]);
  const again = await update(containerOf(asked.service).image, false);
  assert.deepEqual(platforms(again.service), ["linux/amd64"]);
  const images = ["arm64", "s390x"].map((architecture) => imageOf([], { architecture }));
  const entries = images.map((one, at) => ({
    image: one,
    platform: { os: "linux", architecture: at === 0 ? "arm64" : "s390x" },
  }));
  const attestation = { image: imageOf([]), platform: { os: "unknown", architecture: "unknown" } };
  state.image = { ...imageOf([]), manifest: indexOf([...entries, attestation]) };
  const indexed = await update(`${image}:2`, true);
  assert.deepEqual(platforms(indexed.service), ["linux/arm64", "linux/s390x"]);
  const other = await update(`${image}:3`, false);
  assert.deepEqual(platforms(other.service), []);
});

test("service, whose registry does not answer, is created with a warning in Docker's words", async () => {
  const { server } = await startRegistry();
  await server[Symbol.asyncDispose]();
  const { client } = openControl();
  const image = `${server.host}/team/app:1`;
  const { service, warnings } = await client.createService({
    spec: specOf(image),
    queryRegistry: true,
  });
  assert.equal(containerOf(service).image, image);
  assert.deepEqual(warnings, [
    `image ${image} could not be accessed on a registry to record its digest. Each node will access ${image} independently, possibly leading to different nodes running different versions of the image.`,
    `The reason: cannot reach "${server.host}": the connection was refused`,
  ]);
});

test("service, whose registry is away when it is updated, keeps the digest of the same tag", async () => {
  const { server } = await startRegistry();
  const { client } = openControl();
  const image = `${server.host}/team/app:1`;
  const created = await client.createService({ spec: specOf(image), queryRegistry: true });
  await server[Symbol.asyncDispose]();
  const ref = created.service?.id ?? "";
  for (const [wanted, kept, warning] of [
    [image, `${image}@${digests[0]}`, /: the service keeps the digest that it has\.$/],
    [`${server.host}/team/app:2`, `${server.host}/team/app:2`, /to record its digest\. Each node/],
  ] as const) {
    const version = (await client.getService({ ref })).service?.meta?.version;
    const request = { ref, spec: specOf(wanted), queryRegistry: true };
    const { service, warnings } = await client.updateService({
      ...request,
      ...(version && { version }),
    });
    assert.equal(containerOf(service).image, kept);
    assert.match(warnings[0] ?? "", warning);
  }
});

test("service, its registry login resolves the image and reaches nodes, but is never shown", async () => {
  const { server, state } = await startRegistry();
  await using _ = server;
  const { client, store } = openControl();
  const image = `${server.host}/private/app`;
  const created = await client.createService({ spec: specOf(image, login), queryRegistry: true });
  assert.deepEqual(created.warnings, []);
  assert.deepEqual([...state.logins], [undefined, `Basic ${btoa("u:sesame")}`]);
  const ref = created.service?.id ?? "";
  const stored = () => containerOf(store.get("service", ref)).pullOptions?.registryAuth;
  assert.equal(stored(), login);
  const got = await client.getService({ ref });
  const { services } = await client.listServices({});
  const version = got.service?.meta?.version;
  const spec = specOf(`${image}:1`, "", { changed: "yes" });
  const updated = await client.updateService({ ref, spec, ...(version && { version }) });
  for (const service of [created.service, got.service, ...services, updated.service]) {
    assert.equal(containerOf(service).pullOptions, undefined);
    assert.equal(JSON.stringify(service?.previousSpec ?? {}, bigintText).includes(login), false);
  }
  assert.equal(stored(), login);
  for await (const { events } of client.watch({ kinds: ["service"] })) {
    assert.ok(events.length > 0);
    assert.equal(JSON.stringify(events, bigintText).includes(login), false);
    break;
  }
});

test("service, its registry login is not kept for another registry", async () => {
  const { client, store } = openControl();
  const { service } = await client.createService({ spec: specOf("a.test/app", login) });
  const ref = service?.id ?? "";
  const version = service?.meta?.version;
  await client.updateService({ ref, spec: specOf("b.test/app"), ...(version && { version }) });
  assert.equal(containerOf(store.get("service", ref)).pullOptions, undefined);
});

test("service, a registry login that cannot be read is refused without showing it", async () => {
  const { client } = openControl();
  await assert.rejects(client.createService({ spec: specOf("a.test/app", "sesame!") }), (error) => {
    assert.ok(error instanceof Error);
    assert.match(
      error.message,
      /^task\.container\.pull_options\.registry_auth: the registry login/,
    );
    return !error.message.includes("sesame");
  });
});

function bigintText(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}
