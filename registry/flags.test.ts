import assert from "node:assert/strict";
import { parseArgs } from "node:util";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { parseRegistryFlags, registryArgs, registryFlags } from "./flags.ts";

const parse = (args: readonly string[], env = {}) =>
  parseRegistryFlags(parseArgs({ args: [...args], options: registryFlags }).values, env);

test("registry flags, what is left out has its default", () => {
  assert.deepEqual(parse([]), {
    insecureRegistries: [],
    mirrors: [],
    credentialsFile: "/etc/swarm/registry-logins.json",
    certificateFolders: ["/etc/swarm/certs.d", "/etc/docker/certs.d"],
  });
});

test("registry flags, handed on, are read as they were", () => {
  const args = [
    "--insecure-registry=registry.test:5000",
    "--insecure-registry=10.0.0.0/8",
    "--registry-mirror=https://mirror.test:5000/hub",
    "--registry-mirror=ghcr.io=http://[2001:db8::1]/",
    "--registry-logins=/logins",
    "--registry-certificates=/a",
    "--registry-certificates=/b",
  ];
  const settings = parse(args);
  assert.deepEqual(settings, {
    insecureRegistries: ["registry.test:5000", "10.0.0.0/8"],
    mirrors: [
      { registry: "docker.io", url: "https://mirror.test:5000/hub" },
      { registry: "ghcr.io", url: "http://[2001:db8::1]/" },
    ],
    credentialsFile: "/logins",
    certificateFolders: ["/a", "/b"],
  });
  assert.deepEqual(parse(registryArgs(settings)), settings);
});

test("registry flags, the proxy is the environment's", () => {
  const { proxy } = parse([], { HTTPS_PROXY: "http://proxy.test", NO_PROXY: "a,b" });
  assert.deepEqual(proxy, { https: "http://proxy.test/", except: ["a", "b"] });
});

for (const [arg, message] of [
  ["--insecure-registry=http://registry:5000", /is not a registry: write HOST or HOST:PORT/],
  ["--insecure-registry=10.0.0.0/33", /or a network/],
  ["--registry-mirror=mirror.test", /^--registry-mirror is not of the form \[HOST=\]URL/],
  ["--registry-mirror=https://user:secret@mirror.test", /^--registry-mirror is not of the form/],
  ["--registry-mirror=https://:secret@mirror.test", /^--registry-mirror is not of the form/],
  ["--registry-logins=logins", /^--registry-logins "logins" is not an absolute path$/],
  ["--registry-certificates=a", /^--registry-certificates "a" is not an absolute path$/],
] as const) {
  test(`registry flags, refused: ${arg}`, () => {
    assert.throws(() => parse([arg]), { code: "invalid-argument", message });
  });
}

test("registry flags of any text are read or refused by a Fault", () => {
  fc.assert(
    fc.property(fc.constantFrom(...Object.keys(registryFlags)), fc.string(), (name, value) => {
      try {
        parse([`--${name}=${value}`]);
      } catch (error) {
        assert.ok(error instanceof Fault && error.code === "invalid-argument", String(error));
      }
    }),
  );
});
