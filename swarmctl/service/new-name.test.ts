import assert from "node:assert/strict";
import { it } from "node:test";
import * as fc from "fast-check";
import { systemRandom } from "#proto/system-ports.ts";
import { newName } from "./new-name.ts";

for (const [image, base] of [
  ["nginx", "nginx"],
  ["registry:5000/team/Web_App:1.2@sha256:abc", "web-app"],
  ["registry:5000/busybox:1", "busybox"],
  ["@", "service"],
] as const) {
  it(`names a service after ${image}`, () => {
    assert.match(newName(image, systemRandom), new RegExp(`^${base}-[a-z2-9]{5}$`));
  });
}

it("makes DNS labels of whatever images are called", () => {
  fc.assert(
    fc.property(fc.string(), (image) => {
      assert.match(newName(image, systemRandom), /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])$/);
    }),
  );
});
