import assert from "node:assert/strict";
import { it } from "node:test";
import { painter } from "./colour.ts";

const painted = (env: Record<string, string>, isTTY?: true) =>
  painter({ env }, { isTTY })("red", "x");

it("colours only on terminals, and never where NO_COLOR is set", () => {
  assert.equal(painted({}, true), "\x1b[31mx\x1b[0m");
  assert.equal(painted({ NO_COLOR: "" }, true), "\x1b[31mx\x1b[0m");
  assert.equal(painted({}), "x");
  assert.equal(painted({ NO_COLOR: "1" }, true), "x");
  assert.equal(painted({ TERM: "dumb" }, true), "x");
});
