/** That the answers which are kept are Docker's: its CLI is asked again. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { applications } from "./applications.ts";
import { composeCases } from "./compose-cases.ts";
import { differences } from "./differences.ts";
import { refusals } from "./refusals.ts";
import { askDocker } from "./docker-config.ts";

test("the kept answers are what the Docker CLI says", async () => {
  const file = new URL("docker-answers.json", import.meta.url);
  const kept: unknown = JSON.parse(readFileSync(file, "utf8"));
  assert.deepEqual(
    await askDocker({ ...composeCases, ...applications, ...differences, ...refusals }),
    kept,
  );
});
