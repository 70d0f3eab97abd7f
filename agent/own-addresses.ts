/**
 * Which of its addresses a host calls its own. Data planes trust packets from these as a node's, and published ports
 * answer at them, so each must be this host's alone: one that other hosts have too would let a stranger pass for a node.
 *
 * Left out are loopback (the networks' gateway addresses are there, the same on all hosts), link-local addresses (169.254/16
 * and fe80::/10, those of encrypted links among them), and the addresses of bridges that lead to guests alone, such as
 * docker0 and virbr0, which many hosts have with the very same addresses.
 */
import { existsSync, readdirSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { formatAddress6, parseAddress6 } from "#proto/ipv6.ts";
import type { Clock } from "#proto/ports.ts";

/** How long other nodes may not know a new address of this host. Looking is one system call. */
const lookPeriodMs = 10_000;

export interface OwnAddressesOptions {
  /** Where the kernel describes its interfaces. */
  readonly sysfs?: string;
  readonly interfaces?: ReturnType<typeof networkInterfaces>;
}

/** Canonical, of both families, sorted: the same text as long as nothing has changed. */
export function ownAddresses(options: OwnAddressesOptions = {}): readonly string[] {
  const { sysfs = "/sys/class/net", interfaces = networkInterfaces() } = options;
  const found = new Set<string>();
  for (const [name, addresses] of Object.entries(interfaces)) {
    if (name === "lo" || isGuestBridge(name, sysfs)) continue;
    for (const { address, family } of addresses ?? []) {
      const isIpv6 = family === "IPv6";
      if (/^169\.254\.|^fe[89ab][0-9a-f]:/i.test(address)) continue;
      found.add(isIpv6 ? formatAddress6(parseAddress6(address)) : address);
    }
  }
  return [...found].toSorted();
}

/** Tells each time that the host is found to have other addresses than before. */
export function watchOwnAddresses(
  clock: Pick<Clock, "timer">,
  listener: () => void,
  look: () => readonly string[] = ownAddresses,
): Disposable {
  let known = look().join();
  const again = () =>
    clock.timer(lookPeriodMs, () => {
      const now = look().join();
      const isNews = now !== known;
      known = now;
      timer = again();
      if (isNews) listener();
    });
  let timer = again();
  return { [Symbol.dispose]: () => timer[Symbol.dispose]() };
}

/** A bridge is a way out where one of its ports is: a card, a bond, or an interface on top of one. */
function isGuestBridge(name: string, sysfs: string): boolean {
  const ports = join(sysfs, name, "brif");
  return existsSync(ports) && !readdirSync(ports).some((port) => leadsOut(port, sysfs));
}

function leadsOut(port: string, sysfs: string): boolean {
  const folder = join(sysfs, port);
  if (!existsSync(folder)) return false;
  return readdirSync(folder).some((entry) => /^(device|bonding|lower_.+)$/.test(entry));
}
