/** A process that is killed while it pulls: what it leaves is whole or gone at the next start. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { imageOf } from "#registry/testing/test-image.ts";
import { startRegistry, type TestRegistry } from "#registry/testing/test-registry.ts";
import { systemExec } from "../exec.ts";
import { type Image, ImageStore } from "./image-store.ts";
import { tarOf } from "./testing/test-tar.ts";
import { readTree } from "./testing/tree.ts";

const program = new URL("testing/pull-child.ts", import.meta.url).pathname;
const modules = { clock: systemClock, random: systemRandom, log: silentLog, exec: systemExec };
const signal = () => AbortSignal.timeout(60_000);

/** Spread over all steps of a pull. */
const killsMax = 12;

describe("a process that is killed while it pulls", () => {
  const suite = new AsyncDisposableStack();
  let registry: TestRegistry;
  let root: string;
  before(async () => {
    registry = suite.use(await startRegistry());
    root = await mkdtemp(join(tmpdir(), "test-image-kill-"));
    suite.defer(() => rm(root, { recursive: true, force: true }));
  });
  after(() => suite.disposeAsync());

  test("at any step, leaves no half layer and nothing that stays", async () => {
    const layers = ["a", "b", "c"].map((name) =>
      tarOf([
        { name: `${name}/`, type: "5", mode: 0o755 },
        { name: `${name}/big`, content: randomBytes(2_000_000) },
        ...Array.from({ length: 200 }, (_, index) => ({ name: `${name}/${index}`, content: name })),
        { name: `${name}/.wh.gone` },
      ]),
    );
    // One that leans on those below it.
    const leaning = tarOf([
      { name: "a/more", content: "more" },
      { name: "again", type: "1", linkName: "b/big" },
    ]);
    await registry.push("killed", "1", imageOf([...layers, leaning]));
    const reference = `${registry.host}/killed:1`;
    const whole = await pullHere(join(root, "whole"), reference);
    const trees = new Map(
      await Promise.all(
        whole.layers.map(async (path) => [path.split("/").at(-2), await readTree(path)] as const),
      ),
    );
    const steps = await killAt(Number.POSITIVE_INFINITY, join(root, "counted"), reference);
    assert.ok(steps > killsMax, `${steps} steps`);
    for (let kills = 0; kills < killsMax; kills += 1) {
      const folder = join(root, `killed-${kills}`);
      const at = 1 + Math.floor((kills * (steps - 1)) / (killsMax - 1));
      await killAt(at, folder, reference);
      await using store = await open(folder);
      assert.deepEqual(await readdir(join(folder, "temporary")), []);
      for (const name of await readdir(join(folder, "layers"))) {
        assert.deepEqual(await readTree(join(folder, "layers", name, "tree")), trees.get(name));
      }
      if (store.find(reference) === undefined) {
        await store.sweep(new Set());
        assert.deepEqual(await readdir(join(folder, "layers")), []);
        assert.deepEqual(await store.content.list(), []);
      }
      assert.equal((await store.pull(reference, { signal: signal() })).layers.length, 4);
    }
  });
});

/** Kills the process at its step of this number; returns how many it has told. */
async function killAt(step: number, folder: string, reference: string): Promise<number> {
  const child = spawn(process.execPath, [program, folder, reference], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const closed = once(child, "close");
  let steps = 0;
  for await (const _line of createInterface(child.stdout)) {
    steps += 1;
    if (steps === step) child.kill("SIGKILL");
  }
  const [status, killedBy] = (await closed) as [number | null, string | null];
  assert.ok(status === 0 || killedBy === "SIGKILL", `${status}`);
  return steps;
}

function open(root: string): Promise<ImageStore> {
  const platform = { os: "linux", architecture: "amd64" };
  return ImageStore.open({ root, insecureRegistries: [], platform }, modules);
}

async function pullHere(root: string, reference: string): Promise<Image> {
  await using store = await open(root);
  return await store.pull(reference, { signal: signal() });
}
