/**
 * The classical way, as a peer on the same two hosts: a namespace per network with a bridge and a VXLAN device, whose
 * forwarding entries and neighbours are static. No rules, no conntrack.
 */
import type { Host } from "#agent/network/testing/ground.ts";

const networkNamespace = "classical";

/** As ours have: two machines' worth of headers. */
const mtu = 1450;

export interface ClassicalTask {
  readonly name: string;
  readonly host: Host;
  readonly address: string;
}

export async function buildClassical(tasks: readonly ClassicalTask[]): Promise<void> {
  for (const host of new Set(tasks.map((task) => task.host))) {
    await host.namespace.batch([
      `netns add ${networkNamespace}`,
      `link add vxc type vxlan id 5000 local ${host.address} dstport 4790 nolearning`,
      `link set vxc netns ${networkNamespace}`,
    ]);
    await inNetwork(host, [
      "link add br0 type bridge forward_delay 0",
      `link set vxc master br0 mtu ${mtu} up`,
      "link set br0 up",
    ]);
    for (const task of tasks) await (task.host === host ? addLocal(task) : addRemote(host, task));
  }
}

function macOf({ address }: ClassicalTask): string {
  const bytes = address.split(".").map((byte) => Number(byte).toString(16).padStart(2, "0"));
  return `02:43:${bytes.join(":")}`;
}

async function addLocal(task: ClassicalTask): Promise<void> {
  const { name, host, address } = task;
  await host.namespace.batch([`netns add ${name}`]);
  await inNetwork(host, [
    `link add ${name} mtu ${mtu} type veth peer name eth0 address ${macOf(task)} mtu ${mtu} netns ${name}`,
    `link set ${name} master br0 up`,
  ]);
  await host.inTask(
    name,
    "ip",
    ["-batch", "-"],
    lines([`addr add ${address}/24 dev eth0`, "link set eth0 up", "link set lo up"]),
  );
}

async function addRemote(host: Host, task: ClassicalTask): Promise<void> {
  const mac = macOf(task);
  const entry = [
    `fdb add ${mac} dev vxc dst ${task.host.address} self`,
    `fdb add ${mac} dev vxc master static`,
  ];
  await host.inTask(networkNamespace, "bridge", ["-batch", "-"], lines(entry));
}

async function inNetwork(host: Host, batch: readonly string[]): Promise<void> {
  await host.inTask(networkNamespace, "ip", ["-batch", "-"], lines(batch));
}

function lines(batch: readonly string[]): Uint8Array {
  return Buffer.from(`${batch.join("\n")}\n`);
}

/** A task knows the others' addresses: ARP would be flooded to nobody. */
export async function introduce(tasks: readonly ClassicalTask[]): Promise<void> {
  for (const { name, host } of tasks) {
    const others = tasks.filter((other) => other.name !== name);
    const neighbours = others.map(
      (other) => `neigh replace ${other.address} lladdr ${macOf(other)} dev eth0 nud permanent`,
    );
    await host.inTask(name, "ip", ["-batch", "-"], lines(neighbours));
  }
}
