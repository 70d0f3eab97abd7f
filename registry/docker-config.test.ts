import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { formatRegistryAuth, parseRegistryAuth } from "./credentials.ts";
import { findLogin, parseDockerConfig, withLogin, withoutLogin } from "./docker-config.ts";

const base64 = (text: string) => Buffer.from(text).toString("base64");
const password = (username: string, password: string) =>
  ({ kind: "password", username, password }) as const;

describe("logins in a config.json", () => {
  const config = {
    auths: {
      "https://index.docker.io/v1/": { auth: base64("hub:a:b") },
      "https://old.test/v2/": { auth: base64("old") },
      "registry.test:5000": { auth: base64("user:secret") },
      "token.test": { identitytoken: "refresh" },
      "kept.test": {},
    },
    credHelpers: { "helped.test": "ecr-login" },
    credsStore: "pass",
  };

  for (const [registry, login] of [
    ["docker.io", { kind: "here", credentials: password("hub", "a:b") }],
    ["registry.test:5000", { kind: "here", credentials: password("user", "secret") }],
    ["token.test", { kind: "here", credentials: { kind: "identity-token", token: "refresh" } }],
    ["helped.test", { kind: "helper", name: "ecr-login", server: "helped.test" }],
    ["kept.test", { kind: "helper", name: "pass", server: "kept.test" }],
    ["other.test", { kind: "helper", name: "pass", server: "other.test" }],
  ] as const) {
    test(`for ${registry}, are found`, () => {
      assert.deepEqual(findLogin(config, registry), login);
    });
  }

  test("without a helper, may be none", () => {
    assert.equal(findLogin({ auths: config.auths }, "registry.test"), undefined);
    assert.equal(findLogin({}, "docker.io"), undefined);
  });

  test("that cannot be read, are named without the secret", () => {
    assert.throws(() => findLogin(config, "old.test"), {
      code: "failed-precondition",
      message: 'the login at "https://old.test/v2/" cannot be read',
    });
  });

  test("that are written, are found again, and what else is in the file stays", () => {
    const before = { auths: { "a.test": { auth: "x" } }, HttpHeaders: { a: "b" } };
    const after = withLogin(before, "docker.io", password("u", "p"));
    assert.deepEqual(after, {
      auths: { "a.test": { auth: "x" }, "https://index.docker.io/v1/": { auth: base64("u:p") } },
      HttpHeaders: { a: "b" },
    });
    assert.deepEqual(withoutLogin(after, "docker.io"), before);
  });

  test("in a file of anything, are a Fault or none", () => {
    const reads = (bytes: Uint8Array) => {
      try {
        findLogin(parseDockerConfig(bytes), "docker.io");
      } catch (error) {
        assert.ok(error instanceof Fault && error.code === "failed-precondition", String(error));
      }
    };
    fc.assert(fc.property(fc.uint8Array(), reads));
    fc.assert(fc.property(fc.json(), (json) => reads(Buffer.from(json))));
    const key = fc.constantFrom("auths", "credHelpers", "credsStore");
    const auths = { "docker.io": fc.jsonValue() };
    fc.assert(
      fc.property(key, fc.jsonValue(), fc.record(auths), (name, value, found) =>
        reads(Buffer.from(JSON.stringify({ auths: found, [name]: value }))),
      ),
    );
  });
});

describe("a registry login in a spec", () => {
  test("is read as it was written, whatever the password", () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), fc.string(), (name, secret) => {
        const credentials = password(name, secret);
        assert.deepEqual(parseRegistryAuth(formatRegistryAuth(credentials, "a.test")), credentials);
      }),
    );
  });

  test("of any text is read or refused without repeating it", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          parseRegistryAuth(text);
        } catch (error) {
          assert.ok(error instanceof Fault && error.code === "invalid-argument");
          assert.ok(error.message.startsWith("the registry login that came with the service"));
        }
      }),
    );
    assert.equal(parseRegistryAuth(base64("{}")), undefined);
  });
});
