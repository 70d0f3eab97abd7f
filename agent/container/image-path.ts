/**
 * Finds a folder or file of an image in its layers as the kernel's overlay would show it, links followed inside the image.
 * A layer's links are never followed by the host itself: whatever an image has in it, what is found is a path of plain
 * folders, so that nobody who goes there is led out of the image. That a folder is opaque is not seen.
 */
import { lstat, readlink } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, Fault } from "#proto/fault.ts";

/** As the kernel's. */
const linksMax = 40;

export type ImagePath =
  /** Relative to the image's root: its content may be in many layers. */
  | { readonly kind: "folder"; readonly path: string }
  /** Where it is on the host. */
  | { readonly kind: "file"; readonly path: string };

/** Undefined where the image has no such folder and no such file. `layers`: base first. */
export async function findImagePath(
  layers: readonly string[],
  path: string,
): Promise<ImagePath | undefined> {
  const rest = namesOf(path);
  const found: string[] = [];
  let links = 0;
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    if (name === "..") {
      found.pop();
      continue;
    }
    const entry = await findTopmost(layers, [...found, name]);
    if (entry === undefined) return undefined;
    if (entry.kind === "file") return rest.length === 0 ? entry : undefined;
    if (entry.kind === "folder") {
      found.push(name);
      continue;
    }
    links += 1;
    if (links > linksMax) return undefined;
    if (entry.target.startsWith("/")) found.length = 0;
    rest.unshift(...namesOf(entry.target));
  }
  return { kind: "folder", path: found.join("/") };
}

function namesOf(path: string): string[] {
  return path.split("/").filter((name) => name !== "" && name !== ".");
}

type Entry =
  | { readonly kind: "folder" }
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "link"; readonly target: string };

/** Undefined: there is nothing, or something that no path leads through. */
async function findTopmost(
  layers: readonly string[],
  names: readonly string[],
): Promise<Entry | undefined> {
  for (const layer of layers.toReversed()) {
    const entry = await findIn(layer, names);
    if (entry === "hidden") return undefined;
    if (entry !== "absent") return entry;
  }
  return undefined;
}

/** "hidden": this layer has something there that keeps the lower ones from being seen, such as a whiteout. */
async function findIn(
  layer: string,
  names: readonly string[],
): Promise<Entry | "absent" | "hidden"> {
  let here = layer;
  for (const [index, name] of names.entries()) {
    here = join(here, name);
    const stat = await lstatIfThere(here);
    if (stat === undefined) return "absent";
    if (stat.isDirectory()) continue;
    const isLast = index === names.length - 1;
    if (isLast && stat.isSymbolicLink()) return { kind: "link", target: await readlink(here) };
    return isLast && stat.isFile() ? { kind: "file", path: here } : "hidden";
  }
  return { kind: "folder" };
}

async function lstatIfThere(path: string) {
  try {
    return await lstat(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw Fault.wrap(`Cannot look into the image at "${path}"`, error);
  }
}
