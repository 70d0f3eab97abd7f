/** The kernel's files are files of the test's; time is the test's. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FakeClock } from "#proto/testing/fake-clock.ts";
import { until } from "#proto/testing/until.ts";
import { msFromDuration } from "#proto/time.ts";
import type { StatsSource } from "./stats-api.ts";
import { UsageMeter } from "./usage-meter.ts";

const periodMs = 10_000;

class Ground implements AsyncDisposable {
  /** Counts the sleeps: each comes after a whole round. */
  readonly clock = new (class extends FakeClock {
    sleeps = 0;
    override sleep(ms: number, signal?: AbortSignal): Promise<void> {
      this.sleeps++;
      return super.sleep(ms, signal);
    }
  })();
  sources: StatsSource[] = [];
  readonly meter = new UsageMeter({ list: () => this.sources, clock: this.clock });
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  static async open(): Promise<Ground> {
    return new Ground(await mkdtemp(join(tmpdir(), "usage-meter-")));
  }

  source(taskId: string, init: Partial<StatsSource> = {}): StatsSource {
    const readCgroups = () => new Map([["", this.folder]]);
    return { taskId, serviceId: "web", pid: 1, restarts: 0, readCgroups, ...init };
  }

  async count(cpuUs: number, memoryBytes = 1_000): Promise<void> {
    await writeFile(join(this.folder, "cpu.stat"), `usage_usec ${cpuUs}\nuser_usec 1\n`);
    await writeFile(join(this.folder, "memory.current"), `${memoryBytes}\n`);
    await writeFile(join(this.folder, "memory.stat"), "anon 5\ninactive_file 100\n");
  }

  async round(): Promise<void> {
    const { sleeps } = this.clock;
    this.clock.advance(periodMs);
    await until(() => this.clock.sleeps > sleeps);
  }

  async begin(serviceIds: readonly string[] = ["web"]): Promise<void> {
    this.meter.want(serviceIds);
    await until(() => this.clock.sleeps === 1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.meter[Symbol.dispose]();
    await rm(this.folder, { recursive: true });
  }
}

test("usage, of cgroups v2: the CPU time between two readings, memory without idle cache", async () => {
  await using ground = await Ground.open();
  ground.sources = [ground.source("a"), ground.source("b", { serviceId: "other" })];
  await ground.count(1_000_000);
  await ground.begin();
  assert.deepEqual(ground.meter.take(), []);
  await ground.count(6_000_000);
  await ground.round();
  const [usage, ...others] = ground.meter.take();
  assert.equal(others.length, 0);
  assert.deepEqual(
    [usage?.taskId, usage?.serviceId, usage?.nanoCpus, usage?.memoryBytes],
    ["a", "web", 500_000_000n, 900n],
  );
  assert.equal(msFromDuration(usage?.period, 0), periodMs);
  assert.deepEqual(ground.meter.take(), []);
});

test("usage, of cgroups v1 likewise", async () => {
  await using ground = await Ground.open();
  const { folder } = ground;
  const readCgroups = () => new Map(["memory", "cpuacct"].map((name) => [name, folder]));
  ground.sources = [ground.source("a", { readCgroups })];
  const count = (cpuNs: number) => writeFile(join(folder, "cpuacct.usage"), `${cpuNs}\n`);
  await writeFile(join(folder, "memory.usage_in_bytes"), "5000\n");
  await writeFile(join(folder, "memory.stat"), "inactive_file 1\ntotal_inactive_file 2000\n");
  await count(0);
  await ground.begin();
  await count(20e9);
  await ground.round();
  const [usage] = ground.meter.take();
  assert.deepEqual([usage?.nanoCpus, usage?.memoryBytes], [2_000_000_000n, 3_000n]);
});

test("usage, a container that was restarted, or cannot be read, has none until it is known twice", async () => {
  await using ground = await Ground.open();
  ground.sources = [ground.source("a"), ground.source("b", { readCgroups: () => new Map() })];
  await ground.count(9_000_000);
  await ground.begin();
  await ground.count(0);
  ground.sources = [ground.source("a", { pid: 2 })];
  await ground.round();
  assert.deepEqual(ground.meter.take(), []);
  await ground.count(10_000_000);
  await ground.round();
  assert.deepEqual(
    ground.meter.take().map(({ nanoCpus }) => nanoCpus),
    [1_000_000_000n],
  );
});

test("usage, nothing is read while nobody asks", async () => {
  await using ground = await Ground.open();
  let reads = 0;
  const readCgroups = () => {
    reads++;
    return new Map([["", ground.folder]]);
  };
  ground.sources = [ground.source("a", { readCgroups })];
  await ground.count(0);
  await ground.begin();
  assert.equal(reads, 1);
  await ground.round();
  ground.meter.want([]);
  assert.deepEqual(ground.meter.take(), []);
  const { sleeps } = ground.clock;
  ground.clock.advance(10 * periodMs);
  assert.deepEqual([reads, ground.clock.sleeps], [1, sleeps]);
});
