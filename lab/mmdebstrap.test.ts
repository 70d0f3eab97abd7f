import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMirror } from "./mmdebstrap.ts";

test("the mirror is that of the release itself, not of its updates", () => {
  const targets = `http://mirror.test/debian-security/ bookworm-security
http://mirror.test/debian/ bookworm-updates
http://mirror.test/debian/ bookworm
http://other.test/debian/ bookworm
`;
  assert.equal(parseMirror(targets), "http://mirror.test/debian/");
});

test("a machine that uses no Debian mirror has none to give", () => {
  assert.equal(parseMirror(""), undefined);
  assert.equal(parseMirror("http://mirror.test/debian-security/ bookworm-security\n"), undefined);
});
