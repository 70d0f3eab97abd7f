/** The name of a service whose user gives it none: its image's, and some letters so that it is the only one. */
import type { Random } from "#proto/ports.ts";

const letters = "bcdfghjklmnpqrstvwxz23456789";
const suffixLength = 5;

/** As long as names may be, less what comes behind. */
const baseLengthMax = 63 - suffixLength - 1;

/** "nginx-x7k2m" of "docker.io/library/nginx:1@sha256:…" */
export function newName(image: string, random: Random): string {
  const path = image.split("@", 1)[0] ?? "";
  const last = path.slice(path.lastIndexOf("/") + 1).split(":", 1)[0] ?? "";
  const base = last
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, "-")
    .slice(0, baseLengthMax)
    .replaceAll(/^-+|-+$/g, "");
  const suffix = Array.from({ length: suffixLength }, () => letters[random.int(letters.length)]);
  return `${base || "service"}-${suffix.join("")}`;
}
