/** What is mounted where in this program's mount namespace (proc(5), mountinfo). */
import { readFile } from "node:fs/promises";

/** The mount points, the newest last. */
export async function readMountPoints(): Promise<readonly string[]> {
  return parseMountPoints(await readFile("/proc/self/mountinfo", "utf8"));
}

/** The fifth field of each line; the kernel writes blanks and backslashes as octal escapes. */
export function parseMountPoints(text: string): readonly string[] {
  return text.split("\n").flatMap((line) => {
    const point = line.split(" ")[4];
    return point === undefined ? [] : [unescape(point)];
  });
}

function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
