import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { describe, it } from "node:test";
import { inspect } from "node:util";
import * as fc from "fast-check";
import { codes, errnoOf, Fault, retryable } from "./fault.ts";

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: no luck`), { code });
}

describe("Fault", () => {
  it("knows of each code whether trying again helps", () => {
    const again = codes.filter((code) => new Fault(code, "x").retryable);
    assert.deepEqual(again, ["conflict", "resource-exhausted", "unavailable", "deadline-exceeded"]);
    assert.deepEqual(Object.keys(retryable), [...codes]);
  });

  it("says which address is in use", async () => {
    const first = createServer().listen(0, "127.0.0.1");
    await once(first, "listening");
    const { port } = first.address() as AddressInfo;
    const second = createServer().listen(port, "127.0.0.1");
    const [error] = await once(second, "error");
    first.close();
    const message = `the address is in use already ("127.0.0.1:${port}")`;
    assert.equal(Fault.from(error).message, message);
  });

  const known: readonly (readonly [unknown, string, string])[] = [
    [systemError("ENOSPC"), "resource-exhausted", "the disk is full"],
    [systemError("ECONNREFUSED"), "unavailable", "the connection was refused"],
    [systemError("ESTRANGE"), "internal", "ESTRANGE: no luck"],
    [new DOMException("enough", "AbortError"), "canceled", "enough"],
    [new DOMException("late", "TimeoutError"), "deadline-exceeded", "late"],
    [new TypeError("x is not a function"), "internal", "x is not a function"],
    [new RangeError(), "internal", "RangeError"],
    ["text", "internal", "text"],
    [undefined, "internal", "undefined"],
    [{ code: "ENOENT" }, "internal", "{ code: 'ENOENT' }"],
  ];
  for (const [thrown, code, message] of known) {
    it(`sees ${inspect(thrown).split("\n")[0]} as ${code}`, () => {
      const fault = Fault.from(thrown);
      assert.equal(fault.code, code);
      assert.equal(fault.message, message);
    });
  }

  it("is itself, also when taken for one again", () => {
    const fault = new Fault("conflict", "x");
    assert.equal(Fault.from(fault), fault);
  });

  it("sees what the file system throws", () => {
    assert.throws(
      () => {
        try {
          readFileSync("/nosuch/file");
        } catch (thrown) {
          assert.equal(errnoOf(thrown), "ENOENT");
          throw Fault.wrap('Cannot read "/nosuch/file"', thrown);
        }
      },
      {
        code: "not-found",
        message: 'Cannot read "/nosuch/file": no such file or folder',
      },
    );
  });

  it("names the file, unless the action does", () => {
    const error = Object.assign(systemError("EISDIR"), { path: "/a" });
    assert.equal(
      Fault.wrap("Cannot start", error).message,
      'Cannot start: it is a folder, not a file ("/a")',
    );
    assert.equal(
      Fault.wrap('Cannot read "/a"', error).message,
      'Cannot read "/a": it is a folder, not a file',
    );
  });

  it("keeps its code and its cause when seen from further out", () => {
    const inner = new Fault("unavailable", "no answer");
    const outer = Fault.wrap("Cannot pull", inner);
    assert.equal(outer.code, "unavailable");
    assert.equal(outer.message, "Cannot pull: no answer");
    assert.equal(outer.cause, inner);
  });

  it("is made of anything", () => {
    const property = fc.property(fc.anything({ withNullPrototype: true }), (thrown) => {
      assert(Fault.from(thrown) instanceof Fault);
    });
    fc.assert(property);
  });
});
