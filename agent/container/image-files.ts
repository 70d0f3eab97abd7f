/**
 * Reads a small file of an image straight from its layers, top first, so that a container's configuration is complete
 * before its root filesystem is mounted. Knows whiteouts of files and of parent folders (overlayfs: character device
 * 0:0); an opaque folder that hides a file of a lower layer is not looked at.
 */
import { constants } from "node:fs";
import { lstat, open, readlink } from "node:fs/promises";
import { posix } from "node:path";
import { Fault, errnoOf } from "#proto/fault.ts";

/** Account files of real images have some kilobytes. */
const fileBytesMax = 1024 * 1024;

/** As the kernel's limit for following links, in spirit: loops end. */
const linksMax = 8;

/** The file's text, or "" where the image has none. */
export async function readImageFile(layers: readonly string[], path: string): Promise<string> {
  let wanted = posix.normalize(path);
  for (let links = 0; links <= linksMax; links++) {
    const found = await findTopmost(layers, wanted);
    if (found === undefined) return "";
    if (found.kind === "file") return readBounded(found.path);
    wanted = posix.resolve(posix.dirname(wanted), found.target);
  }
  return "";
}

type Found = { kind: "file"; path: string } | { kind: "link"; target: string };

async function findTopmost(layers: readonly string[], path: string): Promise<Found | undefined> {
  for (const layer of layers.toReversed()) {
    const found = await findIn(layer, path);
    if (found === "hidden") return undefined;
    if (found !== "absent") return found;
  }
  return undefined;
}

async function findIn(layer: string, path: string): Promise<Found | "absent" | "hidden"> {
  const names = path.split("/").filter((name) => name !== "");
  let here = layer;
  for (const [index, name] of names.entries()) {
    here = `${here}/${name}`;
    const stat = await lstatIfThere(here);
    if (stat === undefined) return "absent";
    if (stat.isCharacterDevice()) return "hidden";
    if (index === names.length - 1) {
      if (stat.isSymbolicLink()) return { kind: "link", target: await readlink(here) };
      return stat.isFile() ? { kind: "file", path: here } : "hidden";
    }
    // Never through a link in the middle: it could lead out of the image.
    if (!stat.isDirectory()) return "hidden";
  }
  return "absent";
}

async function lstatIfThere(path: string) {
  try {
    return await lstat(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw Fault.wrap(`Cannot look into the image at "${path}"`, error);
  }
}

async function readBounded(path: string): Promise<string> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  const { size } = await file.stat();
  if (size > fileBytesMax) {
    throw new Fault("failed-precondition", `"${path}" in the image is larger than 1 MiB`);
  }
  return file.readFile("utf8");
}
