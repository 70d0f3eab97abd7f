import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { imageOf } from "#registry/testing/test-image.ts";
import { engineHandlers } from "./disk-usage.ts";
import { systemExec } from "./exec.ts";
import { ImageStore } from "./image/image-store.ts";
import { tarOf } from "./image/testing/test-tar.ts";
import { VolumeStore } from "./volume/volume-store.ts";

const modules = { clock: systemClock, random: systemRandom, log: silentLog, exec: systemExec };
const call = {
  signal: AbortSignal.timeout(30_000),
  metadata: new Map<string, string>(),
  peer: "test",
  caller: { kind: "anonymous", problem: "a test" },
} as const;

test("disk usage, counts what is there once and what nobody has any more", async () => {
  await using cleanup = new AsyncDisposableStack();
  const root = await mkdtemp(join(tmpdir(), "disk-usage-"));
  cleanup.defer(() => rm(root, { recursive: true }));
  const platform = { os: "linux", architecture: "amd64" };
  const images = cleanup.use(
    await ImageStore.open({ root: join(root, "image"), platform, insecureRegistries: [] }, modules),
  );
  const common = tarOf([{ name: "common", content: Buffer.alloc(10_000) }]);
  for (const name of ["used", "unused"]) {
    const image = imageOf([common, tarOf([{ name, content: Buffer.alloc(5_000) }])], {
      compress: (tar) => tar,
    });
    for (const { digest, bytes } of [image.manifest, ...image.blobs]) {
      await images.content.write({ digest, sizeBytes: bytes.length }, bytes);
    }
    const reference = { registry: "test.test", repository: name, tag: "1" };
    await images.install(image.manifest.digest, [reference], call.signal);
  }
  const tasks = join(root, "tasks");
  for (const [task, kilobytes] of [
    ["live", 100],
    ["ended", 300],
  ] as const) {
    await mkdir(join(tasks, task, "1/upper"), { recursive: true });
    await writeFile(join(tasks, task, "1/upper/file"), Buffer.alloc(kilobytes * 1024, "x"));
    await writeFile(join(tasks, task, "log"), Buffer.alloc(8_192, "x"));
  }
  const useOf = (taskId: string, image: string) => ({
    taskId,
    serviceId: "s",
    reference: `test.test/${image}:1`,
    isLive: taskId === "live",
    createdAtMs: 0,
    layers: [],
  });
  const uses = async () => [useOf("live", "used"), useOf("ended", "unused")];
  const volumes = await VolumeStore.open(join(root, "volumes"), modules);
  await volumes.create({ name: "data" });
  const handlers = engineHandlers(tasks, { images, uses, volumes, exec: systemExec });
  const { usages = [] } = await handlers.getDiskUsage(
    { $typeName: "swarm.v1.GetDiskUsageRequest" },
    call,
  );
  const [image, container, volume, log] = usages;
  assert.deepEqual(
    usages.map(({ kind, count, active }) => [kind, count, active]),
    [
      ["images", 2, 1],
      ["containers", 2, 1],
      ["volumes", 1, 0],
      ["logs", 2, 1],
    ],
  );
  // Layers unpacked and packed, the common one once.
  const packed = [common.length, 5_000 + 512 + 1024].map((bytes) => Math.ceil(bytes / 512) * 512);
  const own = 5_000 + (packed[1] ?? 0);
  assert.ok(Number(image?.reclaimableBytes) >= own && Number(image?.reclaimableBytes) < own + 2000);
  assert.ok(Number(image?.sizeBytes) > 2 * own + 20_000);
  assert.ok(Number(container?.sizeBytes) >= 400 * 1024);
  assert.ok(Number(container?.reclaimableBytes) >= 300 * 1024);
  assert.ok(Number(container?.reclaimableBytes) < 350 * 1024);
  assert.equal(Number(log?.sizeBytes), 2 * 8_192);
  assert.equal(volume?.active, 0);
});
