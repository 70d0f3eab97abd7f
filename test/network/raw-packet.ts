/** Packets that no socket would send: any source, any destination, straight into a link. */
import { udpOverIpv4, type UdpPacket } from "#agent/network/testing/forged-vxlan.ts";
import { parseAddress6 } from "#proto/ipv6.ts";
import { type Cluster, taskId } from "./cluster.ts";
import { gatewayMac } from "./scene.ts";

/** Out of a task's eth0, to its gateway's hardware address. */
export async function sendRaw(cluster: Cluster, task: string, packet: UdpPacket): Promise<void> {
  const isIpv6 = packet.source.includes(":");
  const bytes = isIpv6 ? udpOverIpv6(packet) : udpOverIpv4(packet);
  await sendFrame(cluster, task, isIpv6 ? "86dd" : "0800", bytes);
}

/** `type` is Ethernet's. */
export async function sendFrame(
  cluster: Cluster,
  task: string,
  type: "0800" | "86dd" | "0806",
  payload: Buffer,
): Promise<void> {
  const header = Buffer.from(`${gatewayMac.replaceAll(":", "")}024200000001${type}`, "hex");
  const args = ["-u", "-", "INTERFACE:eth0"];
  const frame = Buffer.concat([header, payload]);
  await cluster.hostOf(task).inTask(taskId(task), "socat", args, frame);
}

const udpProtocol = 17;

function udpOverIpv6({ source, destination, port }: UdpPacket): Buffer {
  const udp = Buffer.alloc(12);
  udp.writeUInt16BE(5555, 0);
  udp.writeUInt16BE(port, 2);
  udp.writeUInt16BE(udp.length, 4);
  const addresses = Buffer.from(
    [source, destination]
      .map((text) => parseAddress6(text).toString(16).padStart(32, "0"))
      .join(""),
    "hex",
  );
  // The pseudo header: addresses, length, protocol.
  const sum = onesSum(Buffer.concat([addresses, udp])) + udp.length + udpProtocol;
  udp.writeUInt16BE(~((sum & 0xffff) + (sum >>> 16)) & 0xffff, 6);
  const header = Buffer.alloc(8);
  header.writeUInt8(0x60, 0);
  header.writeUInt16BE(udp.length, 4);
  header.writeUInt8(udpProtocol, 6);
  header.writeUInt8(64, 7);
  return Buffer.concat([header, addresses, udp]);
}

function onesSum(bytes: Buffer): number {
  let sum = 0;
  for (let offset = 0; offset < bytes.length; offset += 2) sum += bytes.readUInt16BE(offset);
  return (sum & 0xffff) + (sum >>> 16);
}
