import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toJson } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { ClusterSchema, SecretSchema, ServiceSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { ContainerSpecSchema, ServiceSpecSchema } from "#proto/gen/swarm/v1/specs_pb.ts";
import { redactState } from "./redact-state.ts";

const secret = fc.stringMatching(/^[A-Za-z0-9]{12,40}$/);
const names =
  "DB_PASSWORD PGPASSWD API_KEY apiKey GITHUB_TOKEN CLIENT_SECRET AUTH AWS_SECRET_ACCESS_KEY private-key SESSION_COOKIE SENTRY_DSN db.credentials";
const name = fc.constantFrom(...names.split(" "));

function aService(container: Parameters<typeof create<typeof ContainerSpecSchema>>[1]) {
  const runtime = { case: "container" as const, value: create(ContainerSpecSchema, container) };
  return toJson(
    ServiceSchema,
    create(ServiceSchema, { id: "s", spec: create(ServiceSpecSchema, { task: { runtime } }) }),
  );
}

test("support bundle, no value whose name sounds like a secret is shown", () => {
  fc.assert(
    fc.property(name, secret, (key, value) => {
      const words = ["--user", "me", `--${key}=${value}`, `--${key}`, value];
      const service = aService({
        env: [`${key}=${value}`, "MODE=fast"],
        labels: { [key]: value },
        command: ["run", ...words],
        args: words,
      });
      const text = JSON.stringify(redactState(service));
      assert.ok(!text.includes(value), text);
      assert.match(text, /"MODE=fast"/);
      assert.match(text, /"--user","me"/);
    }),
  );
});

test("support bundle, what has the form of a secret is not shown, wherever it is", () => {
  fc.assert(
    fc.property(secret, (value) => {
      const env = [
        `DATABASE_URL=postgres://me:${value}@db/main`,
        `HEADER=Bearer ${value}`,
        `PEM=-----BEGIN EC PRIVATE KEY-----\n${value}\n-----END EC PRIVATE KEY-----`,
        `JOIN=SWMTKN-1-${value.toLowerCase()}-${value.toLowerCase()}`,
        `UNLOCK=SWMKEY-1-${value}`,
      ];
      const text = JSON.stringify(redactState(aService({ env })));
      assert.ok(!text.toLowerCase().includes(value.toLowerCase()), text);
      assert.match(text, /db\/main/);
    }),
  );
});

test("support bundle, what secrets and keys hold is not shown", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 12 }), secret, (data, token) => {
      const joinTokens = { worker: token, manager: token };
      const cluster = create(ClusterSchema, {
        rootCa: { caKey: data, joinTokens, rootRotation: { caKey: data } },
        unlockKey: token,
        spec: { ca: { signingCaKey: data } },
      });
      const kept = create(SecretSchema, { spec: { data } });
      const objects = [toJson(ClusterSchema, cluster), toJson(SecretSchema, kept)];
      const text = JSON.stringify(objects.map(redactState));
      assert.ok(!text.includes(Buffer.from(data).toString("base64")), text);
      assert.ok(!text.includes(token), text);
    }),
  );
});

test("support bundle, what is no secret stays as it is", () => {
  const service = aService({
    image: "registry/web:1",
    env: ["MODE=fast", "KEYBOARD=de"],
    command: ["sh", "-c", "exec web --port 80"],
    secrets: [{ secretId: "id", secretName: "db-password" }],
  });
  assert.deepEqual(redactState(service), service);
});
