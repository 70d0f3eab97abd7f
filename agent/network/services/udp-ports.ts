/**
 * UDP ports that are published from now on. A flow that began before leads to this host itself, and every datagram would
 * keep it there: such flows are to be forgotten. Where a port was published already, without backends, none can have begun.
 */
import { mapNames } from "./maps.ts";
import type { ServicePicture } from "./picture.ts";

export interface UdpPort {
  readonly address: string;
  readonly port: number;
}

/** `addresses` are the host's own. */
export function newUdpPorts(
  actual: ServicePicture,
  wanted: ServicePicture,
  addresses: readonly string[],
): readonly UdpPort[] {
  const published = new Set<string>();
  for (const key of wanted.sets.ports) if (!actual.sets.ports.has(key)) published.add(key);
  for (const name of mapNames) {
    if (actual.maps[name] === wanted.maps[name]) continue;
    for (const key of wanted.maps[name].keys()) {
      if (!actual.maps[name].has(key) && !actual.sets.ports.has(key)) published.add(key);
    }
  }
  return [...published].flatMap((key) => portsOf(key, addresses));
}

/** "udp . 53" is on every address, "10.9.0.1 . udp . 53" on one; VIPs are on none. */
function portsOf(key: string, addresses: readonly string[]): readonly UdpPort[] {
  const [, address, port] = /^(?:(\S+) \. )?udp \. (\d+)$/.exec(key) ?? [];
  if (port === undefined) return [];
  const all = address === undefined ? ["127.0.0.1", ...addresses] : [address];
  return all.map((each) => ({ address: each, port: Number(port) }));
}
