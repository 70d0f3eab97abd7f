/** Stack files that cannot be deployed: the file, the line and the place are named, and nothing is deployed. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import type { Host } from "#lab/host.ts";
import { Lab } from "#lab/lab.ts";
import { assertRefuses } from "./refusal.ts";

let lab: Lab;
let host: Host;

before(async () => {
  lab = await Lab.up({ name: "stack-input", images: [], ownedByThisProcess: true });
  host = lab.host("h1");
});

after(async () => {
  await lab?.down();
});

const good = "services:\n  web:\n    image: registry:5000/busybox:1\n";

const files: readonly (readonly [what: string, text: string, says: string])[] = [
  [
    "an unknown key",
    `${good}    volumez: [a]\n`,
    ":4:5: services.web.volumez is not known: did you mean volumes?",
  ],
  [
    "an unknown key at its top",
    `${good}service: {}\n`,
    ":4:1: service is not known: did you mean services?",
  ],
  [
    "a tab",
    "services:\n\tweb:\n    image: busybox\n",
    ":2:1: tab characters must not be used in indentation: indent with spaces",
  ],
  [
    "an undefined network",
    `${good}    networks: [nonet]\n`,
    ':4:16: services.web.networks.nonet names the network "nonet", which the file does not define',
  ],
  [
    "-1 replicas",
    `${good}    deploy:\n      replicas: -1\n`,
    ":5:7: services.web.deploy.replicas must be a whole number of 0 or more",
  ],
  [
    "a word for replicas",
    `${good}    deploy: {replicas: many}\n`,
    ":4:14: services.web.deploy.replicas must be a whole number of 0 or more",
  ],
  ["no content", "", ": is empty"],
];
for (const [what, text, says] of files) {
  test(`stack deploy, a file with ${what} is refused`, async () => {
    writeFileSync(join(host.dataRoot, "stack.yml"), text);
    const file = "/var/lib/swarm/stack.yml";
    const command = ["swarmctl", "stack", "deploy", "-c", file, "s"] as const;
    await assertRefuses(host, command, { status: 1, says: `${file}${says}` });
  });
}

test("stack deploy, a file that is not there is named", async () => {
  await assertRefuses(host, ["swarmctl", "stack", "deploy", "-c", "/nowhere.yml", "s"], {
    status: 1,
    says: /^Cannot read "\/nowhere\.yml": no such file or folder/,
  });
});

test("what was refused left no trace", async () => {
  assert.equal(await host.run("swarmctl", ["service", "ls", "-q"]), "");
  const networks = await host.run("swarmctl", ["network", "ls", "--format", "{{.Name}}"]);
  assert.deepEqual(networks.trimEnd().split("\n"), ["bridge", "host", "ingress", "none"]);
});
