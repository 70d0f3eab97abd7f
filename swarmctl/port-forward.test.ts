import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePorts } from "./port-forward.ts";

test("port-forward, ports as people write them", () => {
  assert.deepEqual(parsePorts("80"), { local: 80, remote: 80 });
  assert.deepEqual(parsePorts("8080:80"), { local: 8080, remote: 80 });
  assert.deepEqual(parsePorts(":80"), { local: 0, remote: 80 });
  for (const wrong of ["", ":", "80:", "0", "1:0", "70000", "1:2:3", "a:b", "-1"]) {
    assert.throws(() => parsePorts(wrong), { code: "invalid-argument" }, wrong);
  }
});
