import assert from "node:assert/strict";
import { test } from "node:test";
import { parseCommand } from "./config.ts";
import { HostFacts } from "./host-facts.ts";
import { settingDocs } from "./flags.ts";
import { planReload } from "./reload.ts";

function configOf(...argv: readonly string[]) {
  const command = parseCommand(argv, { env: {}, readFile: () => undefined });
  assert(command.command === "run");
  return command.config;
}

/** Each as it is not by default. */
const others = {
  "data-root": "/d",
  "run-root": "/r",
  "cgroup-parent": "/c",
  "engine-address": "0.0.0.0:1",
  "metrics-address": "127.0.0.1:1",
  "log-level": "debug",
  "generic-resource": "ssd=1",
  label: "a=b",
  "insecure-registry": "registry:5000",
  "registry-mirror": "https://mirror.test",
  "registry-logins": "/l",
  "registry-certificates": "/c",
  "image-layer-max": "1g",
  "image-gc-high": "90",
  "image-gc-low": "10",
  "image-unused": "0",
  "image-peers": "off",
  "fast-path": "off",
};

test("reload, each setting that changed is taken up or waits, by its name", () => {
  const before = configOf();
  assert.deepEqual(Object.keys(others).toSorted(), settingDocs.map(({ name }) => name).toSorted());
  for (const [name, value] of Object.entries(others)) {
    const after = configOf(`--${name}=${value}`);
    const { config, changed, waiting } = planReload(before, after);
    const told = [...changed, ...waiting];
    assert.ok(told.length === 1 && told[0]?.split(", ").includes(name), `${name}: ${told.join()}`);
    assert.deepEqual(config, waiting.length > 0 ? before : after, name);
  }
});

test("reload, nothing changed: nothing to say", () => {
  const args = ["--label=a=b", "--generic-resource=ssd=4", "--registry-mirror=https://m.test"];
  const { changed, waiting } = planReload(configOf(...args), configOf(...args));
  assert.deepEqual([changed, waiting], [[], []]);
});

test("host facts, managers hear of labels and resources, and of nothing else", () => {
  const identity = {
    nodeId: "n",
    clusterId: "c",
    number: 1,
    role: "worker",
    managers: [],
    listenAddress: "",
    advertiseAddress: "",
    dataPathAddress: "192.0.2.1",
  } as const;
  const facts = new HostFacts(configOf(), identity);
  let told = 0;
  using _watch = facts.watch(() => void (told += 1));
  facts.update(configOf("--log-level=debug"));
  assert.equal(told, 0);
  facts.update(configOf("--label=a=b"));
  assert.equal(told, 1);
  assert.deepEqual(facts.current.labels, { a: "b" });
  assert.equal(facts.current.engineAddress, "192.0.2.1:2378");
});
