import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { isImageReference } from "./image-reference.ts";

const digest = `sha256:${"a".repeat(64)}`;

for (const good of [
  "nginx",
  "nginx:1.27",
  "library/nginx",
  "registry:5000/busybox",
  "registry.example.com/team/app:v1.2-rc.1_x",
  `nginx@${digest}`,
  `[fd00::1]:5000/a/b__c/d--e:tag@${digest}`,
]) {
  test(`image reference, "${good}" is one`, () => assert.ok(isImageReference(good)));
}

for (const bad of [
  "",
  "Nginx",
  "nginx:",
  "nginx:a b",
  "nginx@sha256:abc",
  "/nginx",
  "a//b",
  "nginx/",
  "-nginx",
  `nginx:${"t".repeat(129)}`,
  "a".repeat(513),
]) {
  test(`image reference, "${bad.slice(0, 20)}" is none`, () => assert.ok(!isImageReference(bad)));
}

test("image reference, any text is judged quickly and without a throw", () => {
  const pieces = fc.array(fc.constantFrom("a", "0", ".", "-", "_", "/", ":", "@", "[", "sha256:"), {
    maxLength: 512,
  });
  fc.assert(fc.property(pieces, (parts) => typeof isImageReference(parts.join("")) === "boolean"));
  fc.assert(fc.property(fc.string(), (text) => typeof isImageReference(text) === "boolean"));
});
