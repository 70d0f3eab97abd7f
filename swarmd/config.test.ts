import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { parseGenericResources } from "#proto/generic-resource.ts";
import { type Config, parseCommand as parseOn } from "./config.ts";
import { defaultConfigFile } from "./config-file.ts";
import { commandFlags, configPath, settingDefaults, settingDocs, settingFlags } from "./flags.ts";

/** On a host with these files. */
function parseCommand(argv: readonly string[], files: Readonly<Record<string, string>> = {}) {
  return parseOn(argv, { env: {}, readFile: (path) => files[path] });
}

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
    [["--generic-resource", "gpu"], /^--generic-resource: .*"gpu" is neither KIND=COUNT/],
    [["--label", "=x"], /^--label: "=x" is not NAME=VALUE$/],
    [["--config", "/none.yml"], /^--config "\/none.yml" is not there$/],
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

const configFrom = (text: string, argv: readonly string[] = []) => {
  const command = parseCommand(argv, { [configPath]: text });
  assert(command.command === "run");
  return command.config;
};

describe("configuration file", () => {
  it("has a key for each flag that is a setting, each with a place in help and default file", () => {
    const documented = settingDocs.map(({ name }) => name).toSorted();
    assert.deepEqual(documented, Object.keys(settingFlags).toSorted());
    for (const { name } of settingDocs)
      assert.match(defaultConfigFile(), RegExp(`^#${name}:`, "m"));
    for (const name of Object.keys(commandFlags)) {
      assert.throws(() => configFrom(`${name}: x`), /swarmd.yml:1:1: .* is not known/);
    }
  });

  it("as it is installed, says nothing; what it shows as defaults are they", () => {
    assert.deepEqual(configFrom(defaultConfigFile()), defaults);
    const scalars = settingDocs.filter((doc) => typeof doc.default === "string");
    const said = scalars.map(({ name, default: value }) => `${name}: ${String(value)}`).join("\n");
    assert.ok(scalars.length > 10);
    assert.deepEqual(configFrom(said), defaults);
    for (const { name, default: value } of scalars) {
      if (name in settingDefaults) assert.equal(Reflect.get(settingDefaults, name), value);
    }
  });

  it("with everything in it that the installed one comments out, is valid", () => {
    const text = defaultConfigFile().replaceAll(/^#(?=\S|  )/gm, "");
    const { labels, mirrors, metricsAddress, certificateFolders } = configFrom(text);
    assert.deepEqual(labels, { disk: "ssd" });
    assert.deepEqual(mirrors, [{ registry: "docker.io", url: "https://mirror.example.com/" }]);
    assert.equal(metricsAddress, "127.0.0.1:9323");
    assert.deepEqual(certificateFolders, defaults.certificateFolders);
  });

  it("takes lists, maps and single values, and YAML's booleans", () => {
    const { labels } = configFrom("label:\n  - disk=ssd\n  - fast\n");
    assert.deepEqual(labels, { disk: "ssd", fast: "" });
    assert.deepEqual(configFrom("insecure-registry: registry:5000").insecureRegistries, [
      "registry:5000",
    ]);
    assert.equal(configFrom("image-peers: false").imagePeers, false);
    assert.equal(configFrom("image-gc-high: 90 # percent").imageCollection.highPercent, 90);
  });

  it("loses against flags, setting by setting", () => {
    const text = "log-level: debug\nlabel: [disk=hdd, zone=a]\ndata-root: /d";
    const config = configFrom(text, ["--log-level=warn", "--label=disk=ssd"]);
    assert.equal(config.logLevel, "warn");
    assert.equal(config.dataRoot, "/d");
    assert.deepEqual(config.labels, { disk: "ssd" });
  });

  it("is checked and printed on request", () => {
    const files = { "/f.yml": "log-level: debug" };
    assert.equal(parseCommand(["--config=/f.yml", "--check"], files).command, "check");
    assert.equal(parseCommand(["--print-config"]).command, "print-config");
    assert.throws(() => parseCommand(["--config=/f.yml", "--check"], { "/f.yml": "x: 1" }));
  });

  const bad: readonly (readonly [string, RegExp])[] = [
    [
      "\nlog-levl: info",
      /^\/etc\/swarm\/swarmd.yml:2:1: log-levl is not known: did you mean log-level\?$/,
    ],
    ["labels: {a: b}", /:1:1: labels is not known: did you mean label\?$/],
    ["insecure-registries: [a]", /:1:1: .* did you mean insecure-registry\?$/],
    ["storage-driver: x", /:1:1: storage-driver is not known: there are data-root, /],
    ["data-root: /d\nlog-level: loud", /:2:1: log-level "loud" is none of debug, info/],
    ["data-root:", /:1:\d+: data-root has no value: write DIR, or leave the key out$/],
    ["data-root: [/d]", /: data-root must be one value: write DIR/],
    ["registry-certificates: {a: b}", /: registry-certificates must be a list$/],
    ["label: {a: {b: c}}", /: label must be one value/],
    ["- a", /:1:1: the file must be a map of settings$/],
    ["a: b: c", /^\/etc\/swarm\/swarmd.yml:1:/],
    ["log-level: info\nlog-level: info", /the key "log-level" is there twice/],
    ["run-root: relative", /:1:1: run-root "relative" is not an absolute path$/],
    ["cgroup-parent: ../x", /:1:1: cgroup-parent "..\/x" is not a cgroup's path/],
    ["engine-address: nowhere", /:1:1: engine-address "nowhere" is not HOST:PORT/],
    ["metrics-address: nowhere", /:1:1: metrics-address "nowhere" is not HOST:PORT/],
    ["fast-path: maybe", /:1:1: fast-path "maybe" is none of/],
    ["generic-resource: gpu", /:1:1: generic-resource: .* is neither KIND=COUNT/],
    ["label: {a b: c}", /:1:1: label: "a b=c" is not NAME=VALUE$/],
    ["insecure-registry: [http://x]", /:1:1: insecure-registry "http:\/\/x" is not a registry/],
    ["registry-mirror: [x]", /:1:1: registry-mirror is not of the form/],
    ["registry-logins: x", /:1:1: registry-logins "x" is not an absolute path$/],
    ["registry-certificates: [x]", /:1:1: registry-certificates "x" is not an absolute path$/],
    ["image-layer-max: much", /:1:1: image-layer-max: /],
    ["image-gc-high: 70", /:1:1: image-gc-low 80 is more than image-gc-high 70$/],
    ["image-gc-low: x", /:1:1: image-gc-low "x" is not a percentage/],
    ["image-unused: ever", /:1:1: image-unused: /],
    ["image-peers: maybe", /:1:1: image-peers "maybe" is neither on nor off$/],
  ];
  for (const [text, message] of bad) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(() => configFrom(text), { code: "invalid-argument", message });
    });
  }

  it("whatever is in it, is read or refused by a Fault", () => {
    const key = fc.constantFrom(...settingDocs.map(({ name }) => name));
    const line = fc.oneof(
      fc.string(),
      fc.tuple(key, fc.json()).map(([name, value]) => `${name}: ${value}`),
    );
    const property = fc.property(fc.array(line, { maxLength: 4 }), (lines) => {
      try {
        configFrom(lines.join("\n"));
      } catch (thrown) {
        assert(thrown instanceof Fault);
      }
    });
    fc.assert(property);
  });
});
