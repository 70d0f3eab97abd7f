/**
 * What the host looks like from outside: namespaces, mounts, links, packet filter, cgroups, processes of ours. Taken
 * before and after something that must leave nothing behind, and compared line by line.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, readlinkSync, rmdirSync } from "node:fs";
import { join } from "node:path";

export type HostSnapshot = ReadonlyMap<string, ReadonlySet<string>>;

export function takeSnapshot(): HostSnapshot {
  return new Map([
    ["network namespaces", lines("ip", ["netns", "list"])],
    ["links", lines("ip", ["-brief", "link"])],
    ["routes", lines("ip", ["route"])],
    ["packet filter", lines("nft", ["list", "ruleset"])],
    ["mounts", new Set(readFileSync("/proc/mounts", "utf8").trim().split("\n"))],
    ["cgroups", cgroups()],
    ["processes", processes()],
  ]);
}

/** What is in `after` and was not in `before`, as "kind: line"; empty when nothing was left behind. */
export function leftBehind(before: HostSnapshot, after: HostSnapshot): string[] {
  return [...after].flatMap(([kind, now]) =>
    [...now].filter((line) => !before.get(kind)?.has(line)).map((line) => `${kind}: ${line}`),
  );
}

/** Where iproute2 names network namespaces: it mounts the folder on itself with the first one, and leaves it so. */
const namespaceRoot = "/run/netns";

/** Undoes that mount where it was not in `before` and nothing uses it, as nobody else does. */
export function unmountNamespaceRoot(before: HostSnapshot): void {
  const isMounted = (mounts: Iterable<string> = []) =>
    [...mounts].some((line) => line.split(" ")[1] === namespaceRoot);
  if (isMounted(before.get("mounts")) || !isMounted(takeSnapshot().get("mounts"))) return;
  if (readdirSync(namespaceRoot).length > 0) return;
  execFileSync("umount", [namespaceRoot]);
  rmdirSync(namespaceRoot);
}

function lines(program: string, args: readonly string[]): ReadonlySet<string> {
  return new Set(
    execFileSync(program, [...args], { encoding: "utf8" })
      .trim()
      .split("\n"),
  );
}

/** All cgroups that are deeper than what the system itself keeps at the top. */
function cgroups(): ReadonlySet<string> {
  const found = new Set<string>();
  const walk = (folder: string) => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (!entry.isDirectory()) continue;
      const path = join(folder, entry.name);
      found.add(path);
      walk(path);
    }
  };
  walk("/sys/fs/cgroup");
  return found;
}

/** Programs that only we start, by executable name and ID. A process that ends while we look is none. */
const ours =
  /^(conmon|runc|tini|docker-registry|dockerd|containerd.*|nsenter|unshare|qemu-system-.*)$/;

function processes(): ReadonlySet<string> {
  const found = new Set<string>();
  for (const pid of readdirSync("/proc")) {
    if (!/^[0-9]+$/.test(pid) || !existsSync(`/proc/${pid}/exe`)) continue;
    const name = readComm(pid);
    if (name !== undefined && ours.test(name)) found.add(`${name} ${pid}`);
  }
  return found;
}

function readComm(pid: string): string | undefined {
  try {
    readlinkSync(`/proc/${pid}/exe`);
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return undefined;
  }
}
