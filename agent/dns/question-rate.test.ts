import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { cost, QuestionRate, tokensPerSecond } from "./question-rate.ts";

function takenOf(rate: QuestionRate, asker: string, tokens: number): number {
  let taken = 0;
  while (rate.take(asker, tokens)) taken += 1;
  return taken;
}

test("question rate, so many at once and so many in each second after it, whatever the others do", () => {
  const clock = new FakeClock();
  const rate = new QuestionRate({ clock });
  assert.equal(takenOf(rate, "greedy", cost.question), 20_000);
  assert.equal(takenOf(rate, "other", cost.question + cost.forward), 2_000);
  clock.advance(100);
  assert.equal(takenOf(rate, "greedy", cost.connection), 200);
  clock.advance(60_000);
  assert.equal(takenOf(rate, "greedy", cost.question), 20_000);
});

test("question rate, an asker who was refused has lost nothing by it", () => {
  const clock = new FakeClock();
  const rate = new QuestionRate({ clock });
  assert(takenOf(rate, "a", 19) > 0);
  assert.equal(takenOf(rate, "a", 1), tokensPerSecond % 19);
  for (let ms = 0; ms < 10; ms += 1) {
    assert.equal(rate.take("a", 200), false);
    clock.advance(1);
  }
  assert.equal(rate.take("a", 200), true);
});

test("question rate, no order of questions and pauses gets more than a burst and the time's worth", () => {
  const steps = fc.array(fc.tuple(fc.nat(1_500), fc.nat(3), fc.integer({ min: 1, max: 9_000 })));
  fc.assert(
    fc.property(steps, (all) => {
      const clock = new FakeClock();
      const rate = new QuestionRate({ clock });
      const startMs = clock.monotonic();
      const taken = new Map<number, number>();
      for (const [ms, asker, tokens] of all) {
        clock.advance(ms);
        if (!rate.take(String(asker), tokens)) continue;
        const sum = (taken.get(asker) ?? 0) + tokens;
        taken.set(asker, sum);
        const seconds = (clock.monotonic() - startMs) / 1_000;
        assert(sum <= tokensPerSecond * (1 + seconds) + 1e-6);
      }
    }),
  );
});
