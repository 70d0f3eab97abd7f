import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { proxyFor, proxyFromEnvironment } from "./proxy.ts";

const env = { HTTP_PROXY: "http://plain.test:3128", HTTPS_PROXY: "tls.test:3128" };

for (const [except, url, found] of [
  ["", "https://registry.test/v2/", "http://tls.test:3128/"],
  ["", "http://registry.test/v2/", "http://plain.test:3128/"],
  ["", "http://localhost:5000/", undefined],
  ["", "http://127.1.2.3:5000/", undefined],
  ["", "http://[::1]:5000/", undefined],
  ["registry.test", "https://registry.test/", undefined],
  ["registry.test", "https://a.registry.test/", undefined],
  ["registry.test", "https://notregistry.test/", "http://tls.test:3128/"],
  [".registry.test", "https://registry.test/", "http://tls.test:3128/"],
  ["a.test, .registry.test", "https://b.registry.test/", undefined],
  ["registry.test:5000", "https://registry.test:5000/", undefined],
  ["registry.test:5000", "https://registry.test/", "http://tls.test:3128/"],
  ["192.0.2.0/24", "https://192.0.2.7:5000/", undefined],
  ["192.0.2.0/24", "https://192.0.3.7:5000/", "http://tls.test:3128/"],
  ["192.0.2.7", "https://192.0.2.7:5000/", undefined],
  ["2001:db8::/32", "https://[2001:db8::1]:5000/", undefined],
  ["2001:db8::1", "https://[2001:db8::1]:5000/", undefined],
  ["*", "https://registry.test/", undefined],
] as const) {
  test(`NO_PROXY "${except}", ${url} is reached ${found === undefined ? "directly" : "by a proxy"}`, () => {
    const proxy = proxyFromEnvironment({ ...env, NO_PROXY: except });
    assert.equal(proxyFor(new URL(url), proxy), found);
  });
}

test("the small letters of a proxy's variable come first, and an empty one is none", () => {
  const proxy = proxyFromEnvironment({
    ...env,
    https_proxy: "http://small.test:1",
    HTTP_PROXY: "",
  });
  assert.deepEqual(proxy, { https: "http://small.test:1/", except: [] });
});

test("a proxy that is none, is refused without its password", () => {
  assert.throws(
    () => proxyFromEnvironment({ HTTPS_PROXY: "ftp://user:secret@proxy.test" }),
    (error) => error instanceof Fault && !error.message.includes("secret"),
  );
});

test("NO_PROXY of any text decides", () => {
  fc.assert(
    fc.property(fc.string(), fc.webUrl(), (except, url) => {
      proxyFor(new URL(url), proxyFromEnvironment({ ...env, NO_PROXY: except }));
    }),
  );
});
