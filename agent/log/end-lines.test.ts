import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { endsFor } from "./end-lines.ts";
import { LogAssembler } from "./k8s-file.ts";

const at = "2026-01-31T12:00:00.000000001+00:00";

test("endsFor, any pieces, torn anywhere: nothing goes on with them afterwards, and nothing is lost", () => {
  const piece = fc
    .tuple(
      fc.constantFrom("stdout", "stderr"),
      fc.constantFrom("F", "P"),
      fc.stringMatching(/^\w*$/),
    )
    .map(([stream, tag, text]) => `${at} ${stream} ${tag} ${text}\n`);
  fc.assert(
    fc.property(fc.array(piece), fc.nat(10), (pieces, torn) => {
      const text = pieces.join("");
      const log = text.slice(0, text.length - torn);
      const assembler = new LogAssembler();
      const before = new LogAssembler();
      const lines = assembler.push(Buffer.from(log + endsFor(log)));
      assert.deepEqual(assembler.flush(), []);
      const whole = [...before.push(Buffer.from(log)), ...before.flush()];
      assert.ok(lines.length >= whole.length);
    }),
  );
});

test("endsFor, what is ended: nothing to add", () => {
  assert.equal(endsFor(""), "");
  assert.equal(endsFor(`${at} stdout P a\n${at} stdout F b\n`), "");
});

test("endsFor, a line that was begun before another was ended: is ended after it", () => {
  const text = `${at} stdout P a\n2026-01-31T12:00:01Z stderr F b\n`;
  assert.equal(endsFor(text), "2026-01-31T12:00:01Z stdout F \n");
});
