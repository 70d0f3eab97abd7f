/** A VXLAN datagram's payload as an attacker would write it: an inner UDP packet to a task. */
import { parseAddress } from "#proto/ipv4.ts";

export interface UdpPacket {
  readonly source: string;
  readonly destination: string;
  readonly port: number;
}

export interface ForgedPacket extends UdpPacket {
  readonly vni: number;
  /** Of the VXLAN device that is to take it. */
  readonly mac: string;
}

export function forgedVxlan(packet: ForgedPacket): Buffer {
  const vxlan = Buffer.alloc(8);
  vxlan.writeUInt8(0x08, 0);
  vxlan.writeUInt32BE(packet.vni * 256, 4);
  const ethernet = Buffer.concat([
    Buffer.from(packet.mac.replaceAll(":", ""), "hex"),
    Buffer.from("026e00000001", "hex"),
    Buffer.from("0800", "hex"),
  ]);
  return Buffer.concat([vxlan, ethernet, udpOverIpv4(packet)]);
}

/** Without a checksum of UDP's, which IPv4 allows. */
export function udpOverIpv4(packet: UdpPacket): Buffer {
  return overIpv4(packet, 17, udpHeader(packet));
}

/** Says that this packet of the destination's did not reach its port. */
export function portUnreachable(source: string, about: UdpPacket): Buffer {
  const icmp = Buffer.concat([Buffer.from([3, 3, 0, 0, 0, 0, 0, 0]), udpOverIpv4(about)]);
  icmp.writeUInt16BE(checksum(icmp), 2);
  return overIpv4({ source, destination: about.source }, 1, icmp);
}

const payloadBytes = 4;

function udpHeader({ port }: UdpPacket): Buffer {
  const udp = Buffer.alloc(8 + payloadBytes);
  udp.writeUInt16BE(5555, 0);
  udp.writeUInt16BE(port, 2);
  udp.writeUInt16BE(udp.length, 4);
  return udp;
}

function overIpv4(
  { source, destination }: Pick<UdpPacket, "source" | "destination">,
  protocol: number,
  payload: Buffer,
): Buffer {
  const header = Buffer.alloc(20);
  header.writeUInt8(0x45, 0);
  header.writeUInt16BE(header.length + payload.length, 2);
  header.writeUInt8(64, 8);
  header.writeUInt8(protocol, 9);
  header.writeUInt32BE(parseAddress(source), 12);
  header.writeUInt32BE(parseAddress(destination), 16);
  header.writeUInt16BE(checksum(header), 10);
  return Buffer.concat([header, payload]);
}

/** Of an even number of bytes. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let offset = 0; offset < bytes.length; offset += 2) sum += bytes.readUInt16BE(offset);
  sum = (sum & 0xffff) + (sum >>> 16);
  return ~(sum + (sum >>> 16)) & 0xffff;
}
