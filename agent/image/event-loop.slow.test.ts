/** A large image does not hold up the daemon that pulls it: containers are supervised by the same event loop. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { imageOf } from "#registry/testing/test-image.ts";
import { startRegistry } from "#registry/testing/test-registry.ts";
import { systemExec } from "../exec.ts";
import { tarOf } from "./testing/test-tar.ts";

const program = new URL("testing/unpack-child.ts", import.meta.url).pathname;

/** Also on a machine that runs other things at the same time. */
const p99MsMax = 20;

test("pulling 500 MB in large and small files, lets the event loop turn", async () => {
  await using cleanup = new AsyncDisposableStack();
  const root = await mkdtemp(join(tmpdir(), "test-event-loop-"));
  cleanup.defer(() => rm(root, { recursive: true, force: true }));
  const registry = cleanup.use(await startRegistry());
  const noise = randomBytes(4 * 1024 * 1024);
  // Half of it compresses, as programs do.
  const piece = Buffer.concat([noise, Buffer.alloc(noise.length, "text ")]);
  const large = tarOf(
    Array.from({ length: 50 }, (_, index) => ({ name: `large-${index}`, content: piece })),
  );
  const small = tarOf(
    Array.from({ length: 20_000 }, (_, index) => ({
      name: `${index % 100}/${index}`,
      content: noise.subarray(index, index + 4_000),
    })),
  );
  await registry.push("large", "1", imageOf([large, small]));
  const args = [program, join(root, "store"), `${registry.host}/large:1`];
  const { stdout } = await systemExec.run(process.execPath, args, { timeoutMs: 300_000 });
  const { p99 } = JSON.parse(stdout) as { readonly p99: number };
  assert.ok(p99 <= p99MsMax, `the event loop was held up: ${stdout}`);
});
