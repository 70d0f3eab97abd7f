/** What is mounted where in this program's mount namespace (proc(5), mountinfo). */
import { readFile } from "node:fs/promises";

export interface MountedPlace {
  readonly point: string;
  /** What is mounted below it appears in its peers, and theirs in it. */
  readonly shared: boolean;
  /** What is mounted below its master appears in it. */
  readonly slave: boolean;
}

/** The newest last. */
export async function readMounts(): Promise<readonly MountedPlace[]> {
  return parseMountTable(await readFile("/proc/self/mountinfo", "utf8"));
}

export async function readMountPoints(): Promise<readonly string[]> {
  return (await readMounts()).map(({ point }) => point);
}

/** The mount on which a real path lies. */
export function mountOf(path: string, mounts: readonly MountedPlace[]): MountedPlace | undefined {
  const within = ({ point }: MountedPlace) =>
    point === "/" || path === point || path.startsWith(`${point}/`);
  const longest = Math.max(...mounts.filter(within).map(({ point }) => point.length));
  return mounts.findLast((mount) => within(mount) && mount.point.length === longest);
}

/** The fifth field of a line is the point; from the seventh on stand its peers, up to a hyphen. */
export function parseMountTable(text: string): readonly MountedPlace[] {
  return text.split("\n").flatMap((line) => {
    const [, , , , point, , ...rest] = line.split(" ");
    if (point === undefined) return [];
    const peers = rest.slice(0, rest.indexOf("-"));
    const has = (kind: string) => peers.some((peer) => peer.startsWith(`${kind}:`));
    return [{ point: unescape(point), shared: has("shared"), slave: has("master") }];
  });
}

/** The kernel writes blanks and backslashes as octal escapes, byte by byte. */
function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
