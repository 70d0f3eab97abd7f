import assert from "node:assert/strict";
import { test } from "node:test";
import { Fault } from "#proto/fault.ts";
import { silentLog } from "#proto/system-ports.ts";
import { until } from "#proto/testing/until.ts";
import type { LeaderPart } from "./leader.ts";
import { Leading } from "./leading.ts";
import type { Replication } from "./replication/replication.ts";

/** Leadership that the test gives and takes, and scopes that it can break. */
class Fixture {
  leading = false;
  /** Whether somebody else takes over when it hands over. */
  alone = false;
  handedOver = 0;
  readonly running = new Set<number>();
  started = 0;
  break: (fault: Fault) => void = () => {};
  readonly #listeners = new Set<() => void>();

  set(leading: boolean): void {
    this.leading = leading;
    for (const listener of this.#listeners) listener();
  }

  open(): Leading<LeaderPart> {
    const leading = () => this.leading;
    const replication = {
      get leading() {
        return leading();
      },
      watch: (listener: () => void) => {
        this.#listeners.add(listener);
        return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
      },
      handOver: async () => {
        this.handedOver += 1;
        if (!this.alone) this.set(false);
      },
    } as Partial<Replication> as Replication;
    const startLeader = () => {
      const number = ++this.started;
      this.running.add(number);
      const { promise, reject } = Promise.withResolvers<never>();
      promise.catch(() => undefined);
      this.break = reject;
      return {
        failed: promise,
        [Symbol.asyncDispose]: async () => void this.running.delete(number),
      };
    };
    return new Leading({ replication, log: silentLog, startLeader });
  }
}

test("leading, the scope runs while this manager leads, and no longer", async () => {
  const fixture = new Fixture();
  await using leading = fixture.open();
  fixture.set(true);
  await until(() => fixture.running.size === 1);
  fixture.set(false);
  await until(() => fixture.running.size === 0);
  fixture.set(true);
  await until(() => fixture.running.has(2));
  await leading[Symbol.asyncDispose]();
  assert.equal(fixture.running.size, 0);
});

test("leading, leadership that is lost and won in one breath is another scope", async () => {
  const fixture = new Fixture();
  fixture.leading = true;
  await using _leading = fixture.open();
  await until(() => fixture.running.has(1));
  fixture.set(false);
  fixture.set(true);
  await until(() => fixture.running.has(2));
  assert.deepEqual([...fixture.running], [2]);
});

test("leading, a part that cannot go on makes it hand over", async () => {
  const fixture = new Fixture();
  fixture.leading = true;
  await using _leading = fixture.open();
  await until(() => fixture.running.size === 1);
  fixture.break(new Fault("internal", "a loop died"));
  await until(() => fixture.running.size === 0);
  assert.equal(fixture.handedOver, 1);
});

test("leading, where nobody can take over it fails", async () => {
  const fixture = new Fixture();
  fixture.leading = true;
  fixture.alone = true;
  await using leading = fixture.open();
  await until(() => fixture.running.size === 1);
  fixture.break(new Fault("internal", "a loop died"));
  await assert.rejects(leading.failed, { message: /nobody else can.*a loop died/ });
});
