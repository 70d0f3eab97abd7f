/**
 * Reads a small file of an image straight from its layers, so that a container's configuration is complete before its root
 * filesystem is mounted.
 */
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { Fault } from "#proto/fault.ts";
import { findImagePath } from "./image-path.ts";

/** Account files of real images have some kilobytes. */
const fileBytesMax = 1024 * 1024;

/** The file's text, or "" where the image has none. */
export async function readImageFile(layers: readonly string[], path: string): Promise<string> {
  const found = await findImagePath(layers, path);
  if (found?.kind !== "file") return "";
  await using file = await open(found.path, constants.O_RDONLY | constants.O_NOFOLLOW);
  const { size } = await file.stat();
  if (size <= fileBytesMax) return file.readFile("utf8");
  throw new Fault("failed-precondition", `"${path}" in the image is larger than 1 MiB`);
}
