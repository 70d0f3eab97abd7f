/**
 * Names and numbers that the data plane has on every host: devices, nodes' MACs, and how a packet's way is kept. A flow that
 * came from a node has that node's zone, by the device it came over; its replies have the zone's mark, and with it the
 * way back through that node.
 */

/** The VXLAN devices: all plain networks use the first, all encrypted ones the second, which runs inside WireGuard. */
export const plainDevice = "sw-vx0";
export const encryptedDevice = "sw-vx1";

export const devices = [plainDevice, encryptedDevice] as const;

export type Device = (typeof devices)[number];

export const vniOf: Readonly<Record<Device, number>> = { "sw-vx0": 4096, "sw-vx1": 4097 };

export const dataPathPortDefault = 4789;

/** Mark of what left through a VXLAN device. Rules of others that use this bit would open the door. */
export const guardMark = "0x20";

/** Host side of every task's veth; see attachment.ts. Nobody else's begins so: the rules let no IPv6 neighbours speak there. */
export const vethPrefix = "swv-";
export const vethPattern = `${vethPrefix}*`;

/** Host side of every task's veth, on every host: a task that moves meets the same gateway. */
export const gatewayMac = "02:6e:ff:ff:ff:ff";

/** Where replies are sent that go back through a node: replaced by that node's MAC when they leave. */
export const backMac = "02:6e:ff:ff:ff:fe";
export const backAddress = "169.254.0.1";
export const backAddress6 = "fe80::6e:ffff";

/** 14 bits of a conntrack zone are a node's number; the other two say which device it came over. */
export const nodeNumberMax = 0x3fff;

const zoneBit: Readonly<Record<Device, number>> = { "sw-vx0": 0x4000, "sw-vx1": 0x8000 };

/** The two bits in a mark, and nothing else of it: marks of others do not meet our rules. */
export const markMask = "0xc0000000";
export const markOf: Readonly<Record<Device, string>> = {
  "sw-vx0": "0x40000000",
  "sw-vx1": "0x80000000",
};

/** Routing tables of the way back. */
export const backTableOf: Readonly<Record<Device, number>> = { "sw-vx0": 1000, "sw-vx1": 1001 };

/** A node's MAC on a VXLAN device. A packet's sender is known by it. */
export function nodeMac(number: number, device: Device = plainDevice): string {
  const bytes = [number >>> 8, number & 0xff].map((byte) => byte.toString(16).padStart(2, "0"));
  return `02:6e:${device === plainDevice ? "00" : "01"}:00:${bytes.join(":")}`;
}

/** A node as the next hop of IPv6 routes; it is on the VXLAN devices alone. */
export function nodeAddress6(number: number): string {
  return `fe80::6e:${number.toString(16)}`;
}

export function zoneOf(number: number, device: Device): number {
  return number | zoneBit[device];
}

/** The zone in a mark's upper half. */
export function zoneMark(zone: number): number {
  return zone * 0x10000;
}
