/** That the answers which are kept are Docker's: its CLI is asked again. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { askDocker } from "./ask-docker.ts";

test("the kept answers are what the Docker CLI asks for", async () => {
  const file = new URL("docker-answers.json", import.meta.url);
  const kept: unknown = JSON.parse(readFileSync(file, "utf8"));
  assert.deepEqual(JSON.parse(JSON.stringify(await askDocker())), kept);
});
