/** Images whose size is what counts. Built once per machine. */
import { join } from "node:path";
import { type EnsureOptions, ensureCached } from "#lab/cache.ts";
import type { Lab } from "#lab/lab.ts";
import { run } from "#lab/process.ts";
import { tarOfFolder, writeLayout } from "#lab/registry/oci-layout.ts";

/** To be raised with every change of what is built. */
const version = 1;

const filesPerLayer = 10;

/** Files of text that compresses by a quarter: it takes real work to unpack. $1: folder, $2: files, $3: bytes of each. */
const fill = `
  mkdir "$1"
  for file in $(seq "$2"); do base64 /dev/urandom | head -c "$3" > "$1/$file"; done
`;

export interface BulkImage {
  readonly layers: number;
  /** Of each layer, unpacked. */
  readonly layerMb: number;
  /** Whether it has a program, "sleep". */
  readonly isRunnable?: boolean;
}

/** Pushes the image to the lab's registry, and resolves with its reference. */
export async function pushBulkImage(
  lab: Lab,
  { layers, layerMb, isRunnable = false }: BulkImage,
  options: EnsureOptions,
): Promise<string> {
  const name = `bulk-${layers}x${layerMb}${isRunnable ? "-sleep" : ""}`;
  const bytes = Math.round((layerMb * 1_000_000) / filesPerLayer);
  const build = async (work: string) => {
    const folders = Array.from({ length: layers }, (_, layer) => join(work, String(layer)));
    for (const folder of folders) {
      await run(["sh", "-c", fill, "sh", folder, String(filesPerLayer), String(bytes)]);
    }
    if (isRunnable) await run(["install", "-D", "/bin/busybox", join(work, "0/bin/sleep")]);
    const content = folders.map((folder) => () => tarOfFolder(folder));
    await writeLayout(join(work, "result"), { layers: content, config: { Cmd: ["true"] } });
  };
  const what = `an image of ${layers} × ${layerMb} MB`;
  const layout = await ensureCached({ name: `${name}-v${version}`, what, build }, options);
  await lab.registry.push(layout, `${name}:1`, options.signal);
  return `registry:5000/${name}:1`;
}
