import assert from "node:assert/strict";
import { test } from "node:test";
import type { CommandFile } from "./command-file.ts";
import { nouns } from "./commands.ts";
import { topCommands } from "./host-commands.ts";
import { dockerVerbs, flagDifferences } from "./testing/docker-flags.ts";
import { runCli } from "./testing/run-cli.ts";

/** Docker's nouns and what they are called here. Services, stacks, secrets and configs have tests of their own. */
const ours: Readonly<Record<string, string>> = {
  swarm: "cluster",
  node: "node",
  network: "network",
  volume: "volume",
  image: "image",
  system: "system",
  context: "context",
};

const csi = "cluster volumes (CSI) are not there";
const onePlatform = "a node has its images for its own platform alone";
const byHand = "containers are attached to networks by their services";
const noBuild = "images are built and pushed elsewhere: nodes only run them";

/** What is left out, and why: of a command as a whole "", else of a flag. */
const without: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "network connect": { "": byHand },
  "network disconnect": { "": byHand },
  "network create": {
    "--config-from": "for macvlan, which is not there",
    "--config-only": "for macvlan, which is not there",
    "--ipam-opt": "the managers' own choice of addresses has no options",
  },
  "volume create": {
    "--availability": csi,
    "--group": csi,
    "--limit-bytes": csi,
    "--required-bytes": csi,
    "--scope": csi,
    "--secret": csi,
    "--sharing": csi,
    "--topology-preferred": csi,
    "--topology-required": csi,
    "--type": csi,
  },
  "volume ls": { "--cluster": csi },
  "volume update": { "": csi },
  "image build": { "": noBuild },
  "image import": { "": noBuild },
  "image push": { "": noBuild },
  "image tag": { "": noBuild },
  "image history": { "--platform": onePlatform },
  "image inspect": { "--platform": onePlatform },
  "image load": { "--platform": onePlatform },
  "image save": { "--platform": onePlatform },
  "image rm": { "--platform": onePlatform },
  "image ls": { "--tree": "an index is not kept, only the image of the node's platform" },
  "image pull": {
    "--platform": onePlatform,
    "--all-tags": "nobody wants all of them on all nodes",
  },
  "context create": {
    "--description": "a context says its cluster and managers",
    "--docker": "it is made from the manager that is asked: see --manager",
    "--from": "export and import copy one",
  },
  "context update": {
    "--description": "a context says its cluster and managers",
    "--docker": "it is renewed by the cluster itself: see --manager",
  },
};

async function problemsOf(
  dockerName: string,
  file: CommandFile | undefined,
): Promise<readonly string[]> {
  const reasons = without[dockerName] ?? {};
  if (file !== undefined) return await flagDifferences(dockerName, file, reasons);
  return Object.hasOwn(reasons, "") ? [] : [`${dockerName}: is missing`];
}

for (const [docker, name] of Object.entries(ours)) {
  test(`docker ${docker}, each verb and flag is there, or it is said why not`, async () => {
    const verbs = nouns.find((noun) => noun.name === name)?.verbs ?? [];
    const problems: string[] = [];
    for (const verb of dockerVerbs(docker)) {
      const file = verbs.find((one) => one.name === verb);
      problems.push(...(await problemsOf(`${docker} ${verb}`, file)));
    }
    assert.deepEqual(problems, []);
  });
}

test("docker's commands without a noun, each flag is there, or it is said why not", async () => {
  const problems: string[] = [];
  for (const word of dockerVerbs("")) {
    const file = topCommands.find((one) => one.name === word || one.aliases?.includes(word));
    problems.push(...(await problemsOf(word, file)));
  }
  assert.deepEqual(problems, []);
});

test("docker's flags, what is said to be left out is Docker's", () => {
  const all = [
    ...dockerVerbs(""),
    ...Object.keys(ours).flatMap((noun) => dockerVerbs(noun).map((verb) => `${noun} ${verb}`)),
  ];
  assert.deepEqual(
    Object.keys(without).filter((command) => !all.includes(command)),
    [],
  );
});

test("docker's --external-ca is refused with what to do in its place", async () => {
  for (const verb of ["init", "update", "ca"]) {
    const words = ["cluster", verb, "--external-ca", "protocol=cfssl,url=https://ca"];
    const { code, stderr } = await runCli({ runRoot: "/nowhere" }, words);
    assert.equal(code, 2);
    assert.match(stderr, /--external-ca .*signed by the managers alone.* cluster ca --rotate/);
  }
});
