import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { ConfigSchema, SecretSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { ContainerSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { openTestStore } from "../testing/fixtures.ts";
import { completeReferences } from "./validate-references.ts";
import { checkTemplates } from "./validate-templates.ts";

type Init = MessageInitShape<typeof ContainerSpecSchema>;

const { store, put } = openTestStore();
const spec = (name: string) => ({ annotations: { name }, data: Buffer.from("x") });
await put("secret", create(SecretSchema, { id: "secret1", spec: spec("db") }));
await put("config", create(ConfigSchema, { id: "config1", spec: spec("app.conf") }));

const container = (init: Init) => create(ContainerSpecSchema, { image: "busybox", ...init });
const complete = (init: Init) => completeReferences("container", container(init), store);

test("references, by name or ID, get both and where their files stand", () => {
  const { secrets, configs } = complete({
    secrets: [{ secretName: "db" }, { secretId: "secret1", file: { name: "two", uid: "7" } }],
    configs: [{ configName: "app.conf", file: { name: "/etc/app.conf", mode: 0o400 } }],
  });
  const plain = ({ secretId, secretName, file }: (typeof secrets)[number]) =>
    [secretId, secretName, file?.name, file?.uid, file?.gid, file?.mode] as const;
  assert.deepEqual(secrets.map(plain), [
    ["secret1", "db", "db", "0", "0", 0o444],
    ["secret1", "db", "two", "7", "0", 0o444],
  ]);
  assert.equal(configs[0]?.configId, "config1");
  assert.deepEqual([configs[0].file?.name, configs[0].file?.mode], ["/etc/app.conf", 0o400]);
});

test("references, completing what is complete changes nothing", () => {
  const once = complete({ secrets: [{ secretName: "db" }], configs: [{ configId: "config1" }] });
  assert.deepEqual(completeReferences("container", once, store), once);
  assert.equal(once.configs[0]?.file?.name, "app.conf");
});

const refused: readonly (readonly [string, Init, RegExp])[] = [
  ["nobody", { secrets: [{}] }, /^container.secrets\[0\] names no secret$/],
  ["a stranger", { configs: [{ configName: "x" }] }, /"x" is not a config: create it first$/],
  [
    "two at one place",
    { secrets: [{ secretName: "db" }, { secretId: "secret1" }] },
    /secrets\[1\].file has the target "\/run\/secrets\/db", where secret "db" is already/,
  ],
  [
    "a place of a mount",
    { mounts: [{ target: "/x/../app.conf/" }], configs: [{ configName: "app.conf" }] },
    /has the target "\/app.conf", where a mount is already/,
  ],
  [
    "a way out",
    { secrets: [{ secretName: "db", file: { name: "../x" } }] },
    /is not a file's path/,
  ],
  ["a user's name", { secrets: [{ secretName: "db", file: { uid: "www" } }] }, /the uid "www" is/],
  ["a mode", { secrets: [{ secretName: "db", file: { mode: 0o10000 } }] }, /more than 7777/],
];
for (const [what, init, message] of refused) {
  test(`references, ${what} is refused`, () => {
    assert.throws(() => complete(init), { code: "invalid-argument", message });
  });
}

test("templates, are checked where Swarm has them, with the service's labels", () => {
  const given = container({
    env: ["SLOT={{.Task.Slot}}", "NAME={{.Service.Labels.name}}"],
    hostname: "{{.Node.Hostname}}-{{.Task.Slot}}",
    args: ["{{anything}}"],
  });
  checkTemplates("container", given, { name: "x" });
  assert.throws(() => checkTemplates("container", given, {}), {
    message: 'container.env[1] uses the label "name", which the service does not have',
  });
  const bad = container({ mounts: [{ source: "{{.Task.Slots}}", target: "/a" }] });
  assert.throws(() => checkTemplates("container", bad, {}), {
    message: /^container.mounts\[0\].source: the template at character 1 says/,
  });
});
