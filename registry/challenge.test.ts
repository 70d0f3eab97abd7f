import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { parseChallenges } from "./challenge.ts";

const plain = (header: string) =>
  parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);

for (const [header, challenges] of [
  ["", []],
  ["Basic", [["basic", {}]]],
  ['Basic realm="Registry Realm"', [["basic", { realm: "Registry Realm" }]]],
  [
    'Bearer realm="https://auth.test/token",service="registry.test",scope="repository:a/b:pull,push"',
    [
      [
        "bearer",
        {
          realm: "https://auth.test/token",
          service: "registry.test",
          scope: "repository:a/b:pull,push",
        },
      ],
    ],
  ],
  [
    "BEARER Realm = https ,service=a, Basic realm=x",
    [
      ["bearer", { realm: "https", service: "a" }],
      ["basic", { realm: "x" }],
    ],
  ],
  ['Basic realm="a \\"b\\" c"', [["basic", { realm: 'a "b" c' }]]],
  ['Basic realm="never closed', [["basic", {}]]],
  ['realm="of nobody"', []],
] as const) {
  test(`a challenge "${header}" is read`, () => {
    assert.deepEqual(plain(header), challenges);
  });
}

test("challenges of any text are read or left out, in time", () => {
  fc.assert(fc.property(fc.string(), (text) => void parseChallenges(text)));
  const parts = fc.constantFrom("Bearer", " ", ",", "=", '"', "\\", "realm", "a", "\n");
  fc.assert(
    fc.property(
      fc.array(parts, { maxLength: 200 }),
      (texts) => void parseChallenges(texts.join("")),
    ),
  );
  assert.ok(parseChallenges("a,".repeat(8000)).length <= 16);
});

test("a challenge that is written down is read as it was", () => {
  const word = fc.stringMatching(/^[a-z]{1,8}$/);
  const value = fc.string({ unit: "grapheme-ascii", maxLength: 20 });
  const entries = fc.uniqueArray(fc.tuple(word, value), {
    minLength: 1,
    selector: ([name]) => name,
  });
  fc.assert(
    fc.property(word, entries, (scheme, parameters) => {
      const pairs = parameters.map(([name, text]) => `${name}="${text.replace(/["\\]/g, "\\$&")}"`);
      assert.deepEqual(plain(`${scheme} ${pairs.join(", ")}`), [
        [scheme, Object.fromEntries(parameters)],
      ]);
    }),
  );
});
