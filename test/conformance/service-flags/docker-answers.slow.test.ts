/** That the answers which are kept are Docker's: its CLI is asked again. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { askDocker } from "./ask-docker.ts";

/** Lists that the Docker CLI makes of Go maps: in any order. */
const unordered: ReadonlySet<string> = new Set(["Env", "Ports", "GenericResources"]);

function inOrder(key: string, value: unknown): unknown {
  if (!unordered.has(key) || !Array.isArray(value)) return value;
  return value.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

test("the kept answers are what the Docker CLI asks for", async () => {
  const file = new URL("docker-answers.json", import.meta.url);
  const kept: unknown = JSON.parse(readFileSync(file, "utf8"), inOrder);
  assert.deepEqual(JSON.parse(JSON.stringify(await askDocker()), inOrder), kept);
});
