import assert from "node:assert/strict";
import { test } from "node:test";
import { parseConfig } from "./config.ts";

const required = ["--advertise-address", "10.0.0.1:2377"];

test("manager's command line, what is left out has its default", () => {
  assert.deepEqual(parseConfig(required), {
    dataRoot: "/var/lib/swarm",
    runRoot: "/run/swarm",
    listenAddress: "0.0.0.0:2377",
    advertiseAddress: "10.0.0.1:2377",
    logLevel: "info",
    insecureRegistries: [],
    mirrors: [],
    credentialsFile: "/etc/swarm/registry-logins.json",
    certificateFolders: ["/etc/swarm/certs.d", "/etc/docker/certs.d"],
  });
  assert.equal(parseConfig(["--help"]), undefined);
});

for (const [args, message] of [
  [[], /--advertise-address is missing/],
  [[...required, "--surprise"], /--surprise/],
  [[...required, "--data-root", "data"], /--data-root "data" is not an absolute path/],
  [
    [...required, "--listen-address", "2377"],
    /--listen-address "2377" is not of the form HOST:PORT/,
  ],
  [[...required, "--listen-address", "a:99999"], /is not of the form HOST:PORT/],
  [[...required, "--log-level", "loud"], /--log-level "loud" is none of debug, info/],
] as const) {
  test(`manager's command line, refused: ${message.source}`, () => {
    assert.throws(() => parseConfig(args), { code: "invalid-argument", message });
  });
}
