import assert from "node:assert/strict";
import { test } from "node:test";
import { endpointsOf, isInsecure } from "./endpoints.ts";

const insecure = ["registry.test:5000", "10.0.0.0/8", "2001:db8::/32", "Plain.test"];

for (const [host, expected] of [
  ["registry.test:5000", true],
  ["REGISTRY.test:5000", true],
  ["plain.test", true],
  ["registry.test", false],
  ["registry.test:5001", false],
  ["10.1.2.3:5000", true],
  ["11.1.2.3:5000", false],
  ["[2001:db8::7]:5000", true],
  ["[2001:db9::7]:5000", false],
  ["localhost", true],
  ["localhost:5000", true],
  ["127.0.0.2:5000", true],
  ["[::1]:5000", true],
  ["127.evil.test", false],
  ["10.0.0.0.evil.test", false],
] as const) {
  test(`a registry at ${host} is ${expected ? "" : "not "}insecure`, () => {
    assert.equal(isInsecure(host, insecure), expected);
  });
}

test("a registry's mirrors come before it, in their order, and are nobody else's", () => {
  const settings = {
    insecureRegistries: [],
    mirrors: [
      { registry: "docker.io", url: "https://one.test/hub/" },
      { registry: "ghcr.io", url: "https://other.test" },
      { registry: "docker.io", url: "http://two.test:5000" },
    ],
  };
  const places = endpointsOf("docker.io", settings).map(
    ({ protocol, host, path }) => `${protocol ?? ""}${host}${path}`,
  );
  assert.deepEqual(places, ["https:one.test/hub", "http:two.test:5000", "registry-1.docker.io"]);
  assert.deepEqual(
    endpointsOf("quay.io", settings).map(({ host }) => host),
    ["quay.io"],
  );
});
