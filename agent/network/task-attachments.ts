/**
 * A task's attachments as its host carries them: with addresses on the bridge, which the host chooses, and the width that
 * links have. Pure.
 */
import { Fault } from "#proto/fault.ts";
import type { NetworkAttachment } from "#proto/gen/swarm/v1/types_pb.ts";
import { addressPart } from "#proto/cidr.ts";
import type { TaskLink } from "./attachment.ts";
import { bridgeName, chooseAddress } from "./bridge.ts";
import { encryptedDevice, plainDevice } from "./devices.ts";
import type { Kernel } from "./kernel-reader.ts";
import { type Overlay, type OverlayAttachment, parseAttachment } from "./network-state.ts";
import { holds, isText6 } from "./subnet.ts";
import type { TaskRecord } from "./task-records.ts";

export interface Surroundings {
  /** Undefined: the host has none yet. */
  readonly bridge: Overlay | undefined;
  readonly kernel: Kernel;
}

/** Whether the task is on the host's own network, and on nothing else. */
export function isOnHost(attachments: readonly NetworkAttachment[]): boolean {
  if (!attachments.some(({ network }) => network?.id === "host")) return false;
  if (attachments.length === 1) return true;
  throw new Fault("invalid-argument", "a task on the host's network has no other network");
}

/** Refuses what no host could carry. "none" gives nothing but the loopback that every namespace has. */
export function realAttachments(
  attachments: readonly NetworkAttachment[],
): readonly NetworkAttachment[] {
  const real = attachments.filter(({ network }) => network?.id !== "none");
  for (const attachment of real) if (!isBridge(attachment)) parseAttachment(attachment);
  return real;
}

/** With an address on the bridge: the one that it has, else a free one, which is added to what is taken. */
export function withBridgeAddress(
  record: TaskRecord,
  bridge: Overlay | undefined,
  { own, taken }: { readonly own: readonly string[]; readonly taken: string[] },
): TaskRecord {
  const attachments = record.attachments.map((attachment) => {
    if (!isBridge(attachment)) return attachment;
    const [range] = bridge?.ranges ?? [];
    if (bridge === undefined || range === undefined) throw early(bridgeName);
    const address =
      own.find((text) => holds(range.subnet, text)) ?? chooseAddress(bridge, record.taskId, taken);
    taken.push(address);
    return { ...attachment, addresses: [`${address}/${range.subnet.prefixLength}`] };
  });
  return { ...record, attachments };
}

export function resolveAttachments(
  attachments: readonly NetworkAttachment[],
  { bridge, kernel }: Surroundings,
): readonly OverlayAttachment[] {
  return attachments.map((attachment) => {
    if (isBridge(attachment)) {
      if (bridge === undefined) throw early(bridgeName);
      const addresses = attachment.addresses.map(addressPart);
      return { overlay: bridge, addresses };
    }
    const { overlay, addresses } = parseAttachment(attachment);
    return { overlay, addresses: addresses.filter((text) => kernel.ipv6 || !isText6(text)) };
  });
}

export function linksOf(
  attachments: readonly NetworkAttachment[],
  surroundings: Surroundings,
): readonly TaskLink[] {
  return resolveAttachments(attachments, surroundings).map((attachment) => ({
    ...attachment,
    mtu: mtuOf(attachment.overlay, surroundings.kernel),
  }));
}

function mtuOf(overlay: Overlay, { dataPlane, mtuOfAddress }: Kernel): number {
  const { id, name, ranges, encrypted, local, mtu } = overlay;
  const plain = dataPlane.links.get(plainDevice);
  const carried = ranges.every(
    ({ subnet }) => subnet.family === 6 || dataPlane.subnets.has(subnet.text),
  );
  if (plain === undefined || !carried) throw early(id);
  const link = encrypted ? dataPlane.links.get(encryptedDevice) : plain;
  if (link === undefined) {
    throw new Fault("unavailable", `network "${name}" cannot be encrypted on this host yet`);
  }
  const most = local ? (mtuOfAddress.get(plain.local) ?? plain.mtu) : link.mtu;
  if (mtu === undefined || mtu <= most) return mtu ?? most;
  throw new Fault(
    "failed-precondition",
    `network "${name}" wants packets of ${mtu} bytes, but this host's link carries ${most}; create it with a smaller MTU`,
  );
}

function isBridge({ network }: NetworkAttachment): boolean {
  return network?.id === bridgeName;
}

function early(network: string): Fault {
  return new Fault(
    "unavailable",
    `network "${network}" has not been set up on this host; wait for the managers' word`,
  );
}
