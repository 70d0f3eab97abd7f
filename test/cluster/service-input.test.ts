/** Services that cannot be: each is refused in a sentence, and nothing of it is made. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Host } from "#lab/host.ts";
import { Lab } from "#lab/lab.ts";
import { assertRefuses } from "./refusal.ts";

const image = "registry:5000/busybox:1";

let lab: Lab;
let host: Host;

before(async () => {
  lab = await Lab.up({ name: "service-input", images: [], ownedByThisProcess: true });
  host = lab.host("h1");
  await host.run("swarmctl", [
    "service",
    "create",
    "-d",
    "--name",
    "taken",
    "--replicas",
    "0",
    image,
  ]);
});

after(async () => {
  await lab?.down();
});

const long = "x".repeat(64);
const notDns =
  'is not a DNS label: use letters, digits, "-" and "_", and begin and end with a letter or digit';

const names: readonly (readonly [name: string, says: string])[] = [
  ["taken", 'a service named "taken" exists already'],
  ["", "annotations.name is empty: give a name"],
  [long, `annotations.name "${long.slice(0, 63)}…" has 64 characters: use at most 63`],
  ["a.b", `annotations.name "a.b" ${notDns}`],
  ["-a", `annotations.name "-a" ${notDns}`],
  ["a b", `annotations.name "a b" ${notDns}`],
  ["ä", `annotations.name "ä" ${notDns}`],
];
for (const [name, says] of names) {
  test(`service create, the name "${name.slice(0, 10)}" is refused`, async () => {
    const command = ["swarmctl", "service", "create", "--name", name, image] as const;
    await assertRefuses(host, command, { status: 1, says });
  });
}

for (const replicas of ["-1", "1.5", "many", ""]) {
  test(`service create and scale, "${replicas}" replicas are refused`, async () => {
    const create = ["swarmctl", "service", "create", "--name", "a", "--replicas", replicas, image];
    await assertRefuses(host, ["swarmctl", ...create.slice(1)], {
      status: 2,
      says: `option '--replicas <n>' argument '${replicas}' is invalid. Write a whole number of 0 or more`,
    });
    await assertRefuses(host, ["swarmctl", "service", "scale", `taken=${replicas}`], {
      status: 2,
      says: /^command-argument value 'taken=.*' is invalid .* Write (a whole number of 0 or more|service=replicas, such as web=3)$/,
    });
  });
}

const task = { container: { image } };
const one = { replicas: 1 };
const specs: readonly (readonly [what: string, spec: object | string, says: RegExp])[] = [
  [
    "with an unknown field",
    { annotations: { name: "a" }, task, replicated: one, replicated_: one },
    /^Cannot read a service from "-": .*ServiceSpec from JSON: key "replicated_" is unknown$/,
  ],
  [
    "with an unknown field further down",
    { annotations: { name: "a" }, task: { container: { image, comand: ["x"] } }, replicated: one },
    /^Cannot read a service from "-": .*ContainerSpec from JSON: key "comand" is unknown$/,
  ],
  [
    "with -1 replicas",
    { annotations: { name: "a" }, task, replicated: { replicas: -1 } },
    /^Cannot read a service from "-": .*replicas from JSON: .*-1 out of range$/,
  ],
  [
    "with 1.5 replicas",
    { annotations: { name: "a" }, task, replicated: { replicas: 1.5 } },
    /^Cannot read a service from "-": .*replicas from JSON: .*1\.5 out of range$/,
  ],
  [
    "with a word for its replicas",
    { annotations: { name: "a" }, task, replicated: { replicas: "many" } },
    /^Cannot read a service from "-": .*replicas from JSON: .*many out of range$/,
  ],
  [
    "with an empty name",
    { annotations: { name: "" }, task, replicated: one },
    /^annotations\.name is empty: give a name$/,
  ],
  ["that is not JSON", "{", /^Cannot read a service from "-": .* JSON/],
];
for (const [what, spec, says] of specs) {
  test(`service create --spec, a spec ${what} is refused`, async () => {
    const input = typeof spec === "string" ? spec : JSON.stringify(spec);
    const command = ["swarmctl", "service", "create", "--spec", "-"] as const;
    await assertRefuses(host, command, { status: 1, says, input });
  });
}

test("what was refused left no trace", async () => {
  const listed = await host.run("swarmctl", ["service", "ls"]);
  assert.match(listed, /^ID .*\n\w{12} +taken +replicated +0\/0 .*\n$/);
});
