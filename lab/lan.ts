/**
 * The LAN of a lab: a box whose bridge `lan` joins the cables of the hosts; the registry runs in it. A partition is a
 * bridge of its own to which the cables of the hosts cut off are moved: they still reach each other, and nobody's link
 * goes down. Who is cut off is what the kernel says, not remembered here.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Box, type BoxOptions } from "./box.ts";
import type { ProcessId } from "./process-id.ts";
import { run } from "./process.ts";

export const registryAddress = "172.31.0.254";

const bridge = "lan";

/** Given, or the bridge would take one of its cables' and change it when that is unplugged: hosts would talk to nobody. */
const bridgeMac = "02:00:00:00:00:fe";

/** What a host is on the LAN. */
export interface Plug {
  readonly name: string;
  /** From 1; the last byte of its address. */
  readonly index: number;
}

export function addressOf(plug: Plug): string {
  return `172.31.0.${plug.index}`;
}

/** ip(8) commands that configure a host's end of its cable. */
export function hostNetwork(plug: Plug): string {
  return `link set lo up
link set eth0 up
address add ${addressOf(plug)}/24 dev eth0
route add default via ${registryAddress}
`;
}

export class Lan {
  readonly box: Box;

  constructor(options: BoxOptions) {
    this.box = new Box(options);
  }

  async boot(signal?: AbortSignal): Promise<void> {
    const commands = `link set lo up
link add ${bridge} address ${bridgeMac} type bridge mcast_snooping 0
address add ${registryAddress}/24 dev ${bridge}
link set ${bridge} up
`;
    writeFileSync(join(this.box.folder, "network"), commands);
    await this.box.boot(signal === undefined ? {} : { signal });
  }

  /** Lays the cable to a host. Its hardware address stays the same over reboots, so nobody's ARP entry grows stale. */
  async plug(plug: Plug, init: ProcessId): Promise<void> {
    await this.unplug(plug);
    const end = `name eth0 address 02:1f:ac:1f:00:${hex(plug.index)} netns ${init.pid}`;
    await this.#ip([
      `link add ${plug.name} mtu 1500 type veth peer ${end}`,
      `link set ${plug.name} master ${bridge} up`,
    ]);
  }

  async unplug(plug: Plug): Promise<void> {
    const plugged = async () => (await this.#masters()).has(plug.name);
    if (!(await plugged())) return;
    try {
      await this.#ip([`link delete ${plug.name}`]);
    } catch (thrown) {
      // The kernel removes the cable with the host's namespace, and may have been faster.
      if (await plugged()) throw thrown;
    }
  }

  /** Hosts that are not on the common bridge. */
  async cutOff(): Promise<ReadonlySet<string>> {
    const cut = new Set<string>();
    for (const [port, master] of await this.#masters()) if (master !== bridge) cut.add(port);
    return cut;
  }

  /** Separates these hosts from all others and from the registry. */
  async cut(names: readonly string[]): Promise<void> {
    const [first] = names;
    if (first === undefined) return;
    const apart = `cut-${first}`;
    const links = await this.#links();
    const commands = links.some((link) => link.ifname === apart)
      ? []
      : [`link add ${apart} type bridge mcast_snooping 0`, `link set ${apart} up`];
    await this.#ip([...commands, ...names.map((name) => `link set ${name} master ${apart}`)]);
    await this.#removeEmptyPartitions();
  }

  /** Joins these hosts to the others again. */
  async heal(names: readonly string[]): Promise<void> {
    await this.#ip(names.map((name) => `link set ${name} master ${bridge}`));
    await this.#removeEmptyPartitions();
  }

  async #removeEmptyPartitions(): Promise<void> {
    const links = await this.#links();
    const used = new Set(links.map((link) => link.master));
    const empty = links.filter((link) => link.ifname.startsWith("cut-") && !used.has(link.ifname));
    await this.#ip(empty.map((link) => `link delete ${link.ifname}`));
  }

  /** The bridge of each cable. */
  async #masters(): Promise<ReadonlyMap<string, string>> {
    const masters = new Map<string, string>();
    for (const link of await this.#links()) {
      if (link.master !== undefined) masters.set(link.ifname, link.master);
    }
    return masters;
  }

  async #links(): Promise<readonly Link[]> {
    return JSON.parse(await run(this.#inNetwork(["ip", "-json", "link", "show"]))) as Link[];
  }

  async #ip(commands: readonly string[]): Promise<void> {
    if (commands.length === 0) return;
    await run(this.#inNetwork(["ip", "-batch", "-"]), { input: `${commands.join("\n")}\n` });
  }

  /** Only the network is the LAN's: `netns PID` in a command means the machine's number. */
  #inNetwork(command: readonly string[]): string[] {
    return ["nsenter", `--net=${this.box.networkPath}`, "--", ...command];
  }
}

/** Of what `ip -json link` prints, the part that is used. */
interface Link {
  readonly ifname: string;
  readonly master?: string;
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}
