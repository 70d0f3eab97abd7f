/** What it costs to attach a task, beside `ip` alone. */
import { readFile } from "node:fs/promises";
import type { NetworkState } from "#agent/network/network-state.ts";
import { attachmentsOf, type Host } from "#agent/network/testing/ground.ts";
import { Fault } from "#proto/fault.ts";
import { median } from "../samples.ts";
import { front } from "./scene.ts";

export interface AttachCost {
  /** Programs that were run for each. */
  readonly spawns: number;
  /** Programs that the next news cost more, for all of them: their links enter the fast path. */
  readonly laterSpawns: number;
  readonly wallMs: number;
  /** Of the agent and the programs. */
  readonly cpuMs: number;
}

const attachCount = 20;

/** Of the kernel's ticks; see proc(5). */
const tickMs = 10;

/**
 * What nobody can do without: namespace, link, address and routes, in one process of ip and the one that it starts in the
 * namespace. The shell counts what they use. $1: how many; $2: the first address's last part.
 */
const bareScript = `
  for index in $(seq 0 $(($1 - 1))); do
    task=bare$index
    address=10.80.1.$(($2 + index))
    echo "link set lo up
      addr add $address/32 dev eth0
      link set eth0 up
      route add 10.80.1.1 dev eth0
      route add default via 10.80.1.1" > /run/bare.inside
    ip -batch - <<END
      netns add $task
      link add $task mtu 1450 type veth peer name eth0 netns $task mtu 1450
      link set $task up
      route add $address dev $task
      netns exec $task ip -batch /run/bare.inside
END
  done
  times
`;

export async function measureBareAttach(host: Host, subnetPart: number): Promise<AttachCost> {
  const start = performance.now();
  const args = ["-ec", bareScript, "sh", String(attachCount), String(subnetPart)];
  const { stdout } = await host.namespace.run("sh", args);
  const wallMs = (performance.now() - start) / attachCount;
  const names = Array.from({ length: attachCount }, (_, index) => `bare${index}`);
  await host.namespace.batch(names.flatMap((name) => [`link del ${name}`, `netns del ${name}`]));
  return { spawns: 1, laterSpawns: 0, wallMs, cpuMs: parseTimes(stdout) / attachCount };
}

/** Of the shell's children, in milliseconds: "0m0.010s 0m0.020s" in the second line. */
export function parseTimes(text: string): number {
  const [, children = ""] = text.trim().split("\n");
  const parts = [...children.matchAll(/(\d+)m([\d.]+)s/g)];
  if (parts.length !== 2) throw new Fault("internal", `the shell counts nothing: ${text}`);
  return parts.reduce((sum, [, m, s]) => sum + Number(m) * 60_000 + Number(s) * 1_000, 0);
}

/** One task after the other, on one network. */
export async function measureAttach(
  host: Host,
  subnetPart: number,
  state: NetworkState,
): Promise<AttachCost> {
  const before = await cpuMs(host.agentPid);
  const spawns: number[] = [];
  const walls: number[] = [];
  const ids: string[] = [];
  for (let index = 0; index < attachCount; index += 1) {
    // A link's name has the first ten characters alone.
    const id = `attach${subnetPart + index}`.padEnd(25, "0");
    const address = `10.80.1.${subnetPart + index}`;
    const spec = { id, name: id, service: "", addresses: [{ network: front, address }] };
    const start = performance.now();
    const call = { kind: "attach", tasks: [{ id, attachments: attachmentsOf(spec) }] } as const;
    spawns.push((await host.call(call)).programs.length);
    walls.push(performance.now() - start);
    ids.push(id);
  }
  const cpu = (await cpuMs(host.agentPid)) - before;
  const laterSpawns = (await host.call({ kind: "apply", state })).programs.length;
  await host.call({ kind: "detach", taskIds: ids });
  const wallMs = median(walls);
  return { spawns: median(spawns), laterSpawns, wallMs, cpuMs: cpu / attachCount };
}

/** Used so far by a process and the children that it has waited for. */
async function cpuMs(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  // The second field is a name with anything in it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return ticks * tickMs;
}
