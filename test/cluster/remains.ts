/** What services have on a host: nothing of it may be there once they are removed. */
import type { Host } from "#lab/host.ts";
import type { Lab } from "#lab/lab.ts";
import { waitFor } from "#lab/wait.ts";

const goneTimeoutMs = 10_000;

/** Processes, mounts, namespaces, links, cgroups, runc's state, tasks' folders, and what pulls have begun, a line each. */
async function remains(lab: Lab, host: Host): Promise<string[]> {
  const cgroups = `swarm-lab/${lab.name}/${host.name}/*/`;
  const look = [
    "pgrep -l 'conmon|runc|bsdtar'",
    "grep -E ' /var/lib/swarm/agent/tasks' /proc/mounts",
    "ip netns list",
    "ip -brief link | grep '^swv-'",
    `ls -d /sys/fs/cgroup/${cgroups} /sys/fs/cgroup/*/${cgroups} 2>/dev/null`,
    "ls /run/swarm/runc /run/swarm/exits | grep -v '^/\\|^$'",
    "ls /var/lib/swarm/agent/tasks /var/lib/swarm/agent/image/temporary | grep -v '^/\\|^$'",
  ];
  const { stdout } = await host.exec("sh", ["-c", look.join("; ")]);
  return stdout.split("\n").filter((line) => line !== "");
}

/** Resolves when no host of the lab has anything of any task. */
export async function untilNothingRemains(lab: Lab): Promise<void> {
  for (const host of lab.hosts) {
    let left: readonly string[] = [];
    const clean = async () => {
      left = await remains(lab, host);
      return left.length === 0;
    };
    await waitFor(`${host.name} to be clean`, clean, { timeoutMs: goneTimeoutMs }).catch(
      (thrown: unknown) => {
        throw new Error(`${host.name} still has ${left.join(", ")}`, { cause: thrown });
      },
    );
  }
}
