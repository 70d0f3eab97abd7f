/** Under a clock that the test moves; certificates are a test authority's. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { Fault } from "#proto/fault.ts";
import { silentLog, systemRandom } from "#proto/system-ports.ts";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { TestAuthority } from "#proto/testing/test-authority.ts";
import { until } from "#proto/testing/until.ts";
import { TlsIdentityHolder } from "#proto/tls/tls-identity-holder.ts";
import { CertificateRenewer } from "./certificate-renewer.ts";

const timeout = 10_000;
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const authority = await TestAuthority.create();
/** Issued now, dated back by an hour, for this long. */
const issue = (lifeMs: number, fromMs = 0) =>
  authority.identity({ fromMs: fromMs - hourMs, toMs: fromMs + lifeMs });

class Ground implements AsyncDisposable {
  readonly clock = new FakeClock(Date.now());
  /** When it renewed, from the beginning. */
  readonly renewals: number[] = [];
  /** How many of them gave a certificate. */
  renewed = 0;
  readonly holder: TlsIdentityHolder;
  readonly renewer: CertificateRenewer;
  readonly #beganMs = this.clock.now();
  fault: Fault | undefined;
  misfit: string | undefined;

  constructor(identity: Awaited<ReturnType<typeof issue>>, share: number) {
    this.holder = new TlsIdentityHolder(identity);
    this.renewer = new CertificateRenewer(
      {
        identity: this.holder,
        misfit: () => this.misfit,
        renew: async () => {
          const atMs = this.clock.now() - this.#beganMs;
          this.renewals.push(atMs);
          if (this.fault !== undefined) throw this.fault;
          this.holder.replace(await issue(90 * dayMs, atMs));
          this.renewed++;
        },
      },
      {
        clock: this.clock,
        log: silentLog,
        random: { ...systemRandom, int: (limit) => Math.floor((limit - 1) * share) },
      },
    );
  }

  /** In steps, so that what waits for the loop to go on goes on. */
  async advance(ms: number, stepMs = ms): Promise<void> {
    for (let doneMs = 0; doneMs < ms; doneMs += stepMs) {
      this.clock.advance(Math.min(stepMs, ms - doneMs));
      await settle();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.renewer[Symbol.asyncDispose]();
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await turn();
}

for (const [share, days] of [
  [0, 45],
  [1, 72],
] as const) {
  test(`renewer, of 90 days the certificate lives at least 45, at most 72: ${days}`, {
    timeout,
  }, async () => {
    await using ground = new Ground(await issue(90 * dayMs), share);
    await ground.advance(days * dayMs - hourMs, hourMs);
    assert.deepEqual(ground.renewals, []);
    await ground.advance(2 * hourMs, hourMs);
    await until(() => ground.renewed === 1);
    await ground.advance(30 * dayMs, hourMs);
    assert.equal(ground.renewals.length, 1);
  });
}

test("renewer, one of the shortest life is not renewed as soon as it is there", {
  timeout,
}, async () => {
  await using ground = new Ground(await issue(hourMs), 0);
  await ground.advance(hourMs / 2 - 60_000, 60_000);
  assert.deepEqual(ground.renewals, []);
  await ground.advance(120_000, 60_000);
  await until(() => ground.renewals.length === 1);
});

test("renewer, a clock that is set forward is noticed within an hour", { timeout }, async () => {
  await using ground = new Ground(await issue(90 * dayMs), 0);
  let setForwardMs = 0;
  const { clock } = ground;
  const now = clock.now.bind(clock);
  clock.now = () => now() + setForwardMs;
  await settle();
  setForwardMs = 50 * dayMs;
  await ground.advance(hourMs, 600_000);
  await until(() => ground.renewals.length === 1);
});

test("renewer, tries again after 5 s, then longer and longer up to an hour", {
  timeout,
}, async () => {
  await using ground = new Ground(await issue(2 * hourMs), 0);
  ground.fault = new Fault("unavailable", "no manager answers");
  await ground.advance(7 * hourMs, 1_000);
  const pauses = ground.renewals
    .slice(1)
    .map((atMs, index) => Math.round((atMs - (ground.renewals[index] ?? 0)) / 1_000));
  assert.deepEqual(
    pauses.slice(0, 12),
    [5, 10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600],
  );
  assert.match(
    ground.renewer.problem ?? "",
    /^Cannot renew the node's certificate: no manager answers; it expired at .* leave the cluster/,
  );
  ground.fault = undefined;
  ground.renewer.look();
  await ground.advance(10_000, 1_000);
  await until(() => ground.renewer.problem === undefined);
});

test("renewer, renews at once what does not fit, and not on and on where nothing changes", {
  timeout,
}, async () => {
  await using ground = new Ground(await issue(90 * dayMs), 0);
  await settle();
  ground.misfit = "the node's role has changed";
  ground.renewer.look();
  await until(() => ground.renewed === 1);
  for (let i = 0; i < 10; i++) {
    ground.renewer.look();
    await settle();
  }
  assert.equal(ground.renewals.length, 1);
  await ground.advance(5_000, 1_000);
  await until(() => ground.renewed === 2);
  ground.misfit = undefined;
  await ground.advance(dayMs, hourMs);
  assert.equal(ground.renewals.length, 2);
});
