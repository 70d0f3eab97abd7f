import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { formatReference, parseReference } from "./reference.ts";

const digest = `sha256:${"a".repeat(64)}`;

for (const [text, full] of [
  ["nginx", "docker.io/library/nginx:latest"],
  ["nginx:1.2", "docker.io/library/nginx:1.2"],
  ["team/app", "docker.io/team/app:latest"],
  ["docker.io/nginx", "docker.io/library/nginx:latest"],
  ["index.docker.io/nginx", "docker.io/library/nginx:latest"],
  ["localhost/x", "localhost/x:latest"],
  ["registry:5000/x", "registry:5000/x:latest"],
  ["registry:5000/a/b/c:v1", "registry:5000/a/b/c:v1"],
  ["ghcr.io/a/b", "ghcr.io/a/b:latest"],
  ["[::1]:5000/x:1", "[::1]:5000/x:1"],
  [`nginx@${digest}`, `docker.io/library/nginx@${digest}`],
  [`registry:5000/x:1@${digest}`, `registry:5000/x:1@${digest}`],
  ["a__b/c-d.e_f", "docker.io/a__b/c-d.e_f:latest"],
] as const) {
  test(`image name "${text}", stands for ${full}`, () => {
    assert.equal(formatReference(parseReference(text)), full);
  });
}

for (const [text, words] of [
  ["", /it is empty/],
  [":tag", /it has no name/],
  ["nginx:", /the tag ""/],
  ["nginx:a b", /the tag "a b"/],
  [`nginx:${"t".repeat(129)}`, /at most 128/],
  ["Nginx", /"Nginx" must be in lower case/],
  ["registry:5000/", /between slashes is empty/],
  ["a//b", /between slashes is empty/],
  ["-x", /"-x" may have/],
  ["../etc", /".." is not a registry's HOST/],
  ["nginx@sha256:12", /invalid digest "sha256:12"/],
  ["bad_host:5000/x", /is not a registry's HOST or HOST:PORT/],
  ["a".repeat(64), /an image ID/],
  [`x/${"n".repeat(255)}`, /more than 255 characters/],
] as const) {
  test(`image name "${text.slice(0, 30)}", is refused with the reason`, () => {
    assert.throws(() => parseReference(text), { code: "invalid-argument", message: words });
  });
}

test("any text as an image name, is refused by a Fault or has a full form that stays the same", () => {
  const piece = fc.constantFrom("a", "B", "0", ".", "-", "_", "/", ":", "@", digest, "..", "é");
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(piece).map((pieces) => pieces.join("")),
      ),
      (text) => {
        try {
          const full = formatReference(parseReference(text));
          assert.equal(formatReference(parseReference(full)), full);
        } catch (error) {
          assert.ok(error instanceof Fault, String(error));
        }
      },
    ),
    { numRuns: 2000 },
  );
});
