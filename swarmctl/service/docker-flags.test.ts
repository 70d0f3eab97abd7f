import assert from "node:assert/strict";
import { test } from "node:test";
import { nouns } from "../commands.ts";
import { dockerVerbs, flagDifferences } from "../testing/docker-flags.ts";

const verbs = nouns.find(({ name }) => name === "service")?.verbs ?? [];

test("service, has all verbs of Docker's", () => {
  const ours = verbs.map(({ name }) => name);
  assert.deepEqual(
    dockerVerbs("service").filter((verb) => !ours.includes(verb)),
    [],
  );
});

for (const verb of verbs) {
  test(`service ${verb.name}, has all flags of Docker's`, async () => {
    assert.deepEqual(await flagDifferences(`service ${verb.name}`, verb), []);
  });
}
