import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { parseGenericResources } from "#proto/generic-resource.ts";
import { type Config, parseCommand } from "./config.ts";

const defaults: Config = {
  dataRoot: "/var/lib/swarm",
  runRoot: "/run/swarm",
  cgroupParent: "swarm",
  engineAddress: "0.0.0.0:2378",
  fastPath: "auto",
  metricsAddress: "",
  insecureRegistries: [],
  imageLayerBytesMax: 64 * 1024 ** 3,
  imageCollection: { highPercent: 85, lowPercent: 80, unusedMs: 720 * 3_600_000 },
  imagePeers: true,
  genericResources: [],
  labels: {},
  mirrors: [],
  credentialsFile: "/etc/swarm/registry-logins.json",
  certificateFolders: ["/etc/swarm/certs.d", "/etc/docker/certs.d"],
  logLevel: "info",
};

describe("parseCommand", () => {
  const good: readonly (readonly [string, Partial<Config>])[] = [
    ["", {}],
    ["--data-root /d --run-root /r", { dataRoot: "/d", runRoot: "/r" }],
    ["--data-root=/d", { dataRoot: "/d" }],
    ["--cgroup-parent /machines/swarm/", { cgroupParent: "/machines/swarm" }],
    [
      "--insecure-registry registry:5000 --insecure-registry 192.0.2.1",
      { insecureRegistries: ["registry:5000", "192.0.2.1"] },
    ],
    [
      "--registry-mirror https://mirror.test",
      { mirrors: [{ registry: "docker.io", url: "https://mirror.test/" }] },
    ],
    [
      "--generic-resource ssd=4 --generic-resource gpu=UUID1,gpu=UUID2",
      { genericResources: parseGenericResources(["ssd=4,gpu=UUID1,gpu=UUID2"]) },
    ],
    ["--label disk=ssd --label fast", { labels: { disk: "ssd", fast: "" } }],
    ["--image-layer-max 1g", { imageLayerBytesMax: 1024 ** 3 }],
    [
      "--image-gc-high 70 --image-gc-low 60 --image-unused 0",
      { imageCollection: { highPercent: 70, lowPercent: 60, unusedMs: 0 } },
    ],
    ["--image-peers off", { imagePeers: false }],
    ["--log-level debug", { logLevel: "debug" }],
    ["--fast-path off", { fastPath: "off" }],
    ["--metrics-address 127.0.0.1:9323", { metricsAddress: "127.0.0.1:9323" }],
  ];
  for (const [line, config] of good) {
    it(`reads "${line}"`, () => {
      const command = parseCommand(line.split(" ").filter(Boolean));
      assert.deepEqual(command, { command: "run", config: { ...defaults, ...config } });
    });
  }

  it("knows --help and --version", () => {
    assert.deepEqual(parseCommand(["--version"]), { command: "version" });
    assert.deepEqual(parseCommand(["--help", "--version"]), { command: "help" });
  });

  const bad: readonly (readonly [readonly string[], RegExp])[] = [
    [["--data-root", "relative"], /^--data-root "relative" is not an absolute path$/],
    [["--run-root", ""], /^--run-root "" is not an absolute path$/],
    [["--run-root", `/${"x".repeat(50)}`], /is longer than 50 bytes/],
    [["--run-root", `/${"ü".repeat(25)}`], /is longer than 50 bytes/],
    [["--image-peers", "yes"], /^--image-peers "yes" is neither on nor off$/],
    [["--generic-resource", "gpu"], /^Cannot describe this host: .*"gpu" is neither KIND=COUNT/],
    [["--label", "=x"], /^Cannot describe this host: --label "=x" is not NAME=VALUE$/],
    [["--cgroup-parent", ""], /is not a cgroup's path/],
    [["--cgroup-parent", "../other"], /is not a cgroup's path/],
    [["--cgroup-parent", "a b"], /is not a cgroup's path/],
    [["--insecure-registry", "http://registry:5000"], /is not a registry: write HOST or HOST:PORT/],
    [["--fast-path", "yes"], /^--fast-path "yes" is none of auto, on, off$/],
    [["--log-level", "loud"], /^--log-level "loud" is none of debug, info, warn, error$/],
    [["--nosuch"], /Unknown option '--nosuch'/],
    [["word"], /Unexpected argument 'word'/],
    [["--data-root"], /argument missing/],
  ];
  for (const [argv, message] of bad) {
    it(`refuses "${argv.join(" ").slice(0, 40)}"`, () => {
      assert.throws(() => parseCommand(argv), { code: "invalid-argument", message });
    });
  }

  it("throws nothing but Faults", () => {
    const word = fc.oneof(
      fc.string(),
      fc.constantFrom(
        "--data-root",
        "--run-root",
        "--cgroup-parent",
        "--log-level",
        "--help",
        "--",
      ),
    );
    const property = fc.property(fc.array(word, { maxLength: 5 }), (argv) => {
      try {
        parseCommand(argv);
      } catch (thrown) {
        assert(thrown instanceof Fault);
      }
    });
    fc.assert(property);
  });
});
