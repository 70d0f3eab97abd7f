import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { parseDestination } from "./trace.ts";

test("network trace, a destination is a task, a name or an address, with a port or without", () => {
  assert.deepEqual(parseDestination("web.1"), { host: "web.1", port: 0 });
  assert.deepEqual(parseDestination("db:5432"), { host: "db", port: 5432 });
  assert.deepEqual(parseDestination("10.0.1.5:80"), { host: "10.0.1.5", port: 80 });
  assert.deepEqual(parseDestination("[fd00::5]:80"), { host: "fd00::5", port: 80 });
  assert.deepEqual(parseDestination("fd00::5"), { host: "fd00::5", port: 0 });
});

test("network trace, what is no destination is refused in words", () => {
  for (const text of ["", ":80", "web:0", "web:65536", "web:x", "[fd00::5", "a:b:c"]) {
    assert.throws(() => parseDestination(text), /is no task, HOST or HOST:PORT/, text);
  }
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        const { host, port } = parseDestination(text);
        assert(host !== "" && port >= 0 && port <= 65_535);
      } catch (thrown) {
        assert(thrown instanceof Fault);
      }
    }),
  );
});
