/**
 * A container's root filesystem: an overlay of its image's layers and a fresh upper layer per attempt.
 *
 * The overlay is mounted in a mount namespace that conmon and its container have to themselves: it goes when they go,
 * whatever happens to this program, so there is nothing to unmount and nothing to leak. Mount options must fit into one
 * page (4096 bytes), so the layers are named by short links and the mount is made from inside the task's folder.
 */
import { chmod, mkdir, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { Fault, errnoOf } from "#proto/fault.ts";

/** What one page of mount options has room for; Docker's own limit is 128. */
export const layersMax = 400;

/** Makes the links `l/<n>` in the task's folder, base first. Those that are there stay. */
export async function linkLayers(taskFolder: string, layers: readonly string[]): Promise<void> {
  if (layers.length > layersMax) {
    throw new Fault(
      "failed-precondition",
      `the image has ${layers.length} layers: at most ${layersMax} are possible`,
    );
  }
  const folder = join(taskFolder, "l");
  await mkdir(folder, { recursive: true });
  // An overlay needs at least one lower layer, an image need not have any.
  if (layers.length === 0) await mkdir(join(folder, "0"), { recursive: true });
  await Promise.all(layers.map((layer, index) => linkOnce(layer, join(folder, `${index}`))));
}

async function linkOnce(target: string, path: string): Promise<void> {
  try {
    await symlink(target, path);
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
  }
}

/**
 * Makes the folders of one attempt. What is there of one that came not far enough to be remembered, as on a full disk, is
 * of no use: an attempt begins on a fresh file system.
 */
export async function prepareRootfs(attemptFolder: string): Promise<void> {
  await rm(attemptFolder, { recursive: true, force: true });
  await mkdir(attemptFolder, { recursive: true });
  const names = ["upper", "work", "rootfs"];
  await Promise.all(names.map((name) => mkdir(join(attemptFolder, name))));
  // It is the container's "/", whatever the umask of swarmd.
  await chmod(join(attemptFolder, "upper"), 0o755);
}

/** Options for mount(8), run inside the task's folder. The top layer comes first. */
export function overlayOptions(layerCount: number, attempt: string): string {
  const links = Array.from({ length: Math.max(1, layerCount) }, (_, index) => `l/${index}`);
  const lower = links.toReversed().join(":");
  return `lowerdir=${lower},upperdir=${attempt}/upper,workdir=${attempt}/work`;
}
