import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "./fault.ts";
import { genericResourceEnv, kindOf, parseGenericResources } from "./generic-resource.ts";

function written(texts: readonly string[]): readonly string[] {
  return parseGenericResources(texts).map(
    (one) => `${one.resource.case} ${kindOf(one)}=${one.resource.value?.value}`,
  );
}

test("Counts and named pieces are told apart by their values", () => {
  assert.deepEqual(written(["ssd=4", "gpu=UUID1", " gpu = UUID2 "]), [
    "discrete ssd=4",
    "named gpu=UUID1",
    "named gpu=UUID2",
  ]);
  assert.deepEqual(written(["gpu=a,gpu=b,ssd=0"]), [
    "named gpu=a",
    "named gpu=b",
    "discrete ssd=0",
  ]);
  assert.deepEqual(written([]), []);
});

const refused: readonly [readonly string[], RegExp][] = [
  [[""], /"" is neither KIND=COUNT nor KIND=NAME/],
  [["gpu"], /"gpu" is neither/],
  [["gpu="], /"gpu=" is neither/],
  [["gpu=a=b"], /"gpu=a=b" is neither/],
  [["ssd=-1"], /"ssd=-1" is no count: use 0 to 2147483647/],
  [["gpu=a", "gpu=2"], /"gpu=2" is a count beside another of its kind/],
  [["gpu=a,gpu=a"], /"gpu=a" is there twice/],
  [["a b=1"], /kind "a b" has other characters/],
  [["gpu=a;b"], /"gpu=a;b" names a piece/],
];
for (const [texts, message] of refused) {
  test(`${JSON.stringify(texts)} are no generic resources`, () => {
    assert.throws(() => parseGenericResources(texts), { code: "invalid-argument", message });
  });
}

test("Containers see their grants as Docker's do", () => {
  const granted = parseGenericResources(["gpu=UUID1,gpu=UUID2", "NVIDIA-ssd=3"]);
  assert.deepEqual(genericResourceEnv(granted), [
    "DOCKER_RESOURCE_GPU=UUID1,UUID2",
    "DOCKER_RESOURCE_NVIDIA-SSD=3",
  ]);
});

test("Any texts are generic resources or are refused with a Fault", () => {
  const likely = fc
    .tuple(fc.constantFrom("gpu", "ssd", ""), fc.oneof(fc.integer().map(String), fc.string()))
    .map((parts) => parts.join("="));
  const property = fc.property(fc.array(fc.oneof(likely, fc.string())), (texts) => {
    try {
      for (const line of genericResourceEnv(parseGenericResources(texts))) {
        assert.match(line, /^DOCKER_RESOURCE_[A-Z0-9._-]+=[^=]+$/);
      }
    } catch (thrown) {
      assert.ok(thrown instanceof Fault, String(thrown));
    }
  });
  fc.assert(property);
});
