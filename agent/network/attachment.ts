/**
 * A task's namespace and its links, as lines for `ip`. The task is a /32 behind a veth: inside, every route goes through
 * the gateway, whose MAC is the same on every host and known beforehand, so that a task never asks for a neighbour.
 * Made for `ip -batch`: lines for the host, and lines for the namespace. Pure.
 */
import { parseAddress } from "#proto/ipv4.ts";
import type { OverlayAttachment } from "./network-state.ts";

/** Host side of every task's veth, on every host: a task that moves meets the same gateway. */
export const gatewayMac = "02:6e:ff:ff:ff:ff";

/** One digit of the veth's name. */
export const attachmentsMax = 36;

/** Links on their way out are deleted as a group: the kernel waits once, not once per link (1.5 s → 50 ms for 50). */
const departingGroup = 0x73776d;

/** Routing tables and priorities of rules inside a task's namespace, one per attachment. */
const tableBase = 100;

export interface AttachPlan {
  readonly host: readonly string[];
  readonly inside: readonly string[];
}

export interface AttachOptions {
  readonly taskId: string;
  readonly attachments: readonly OverlayAttachment[];
  readonly mtu: number;
  /** The host's own source address towards tasks. */
  readonly source: string;
  /** What stands already, from an earlier attempt or an earlier life of the agent. */
  readonly standing: Standing;
}

export interface Standing {
  readonly namespace: boolean;
  readonly veths: ReadonlySet<string>;
  /** Priorities of the rules in the namespace: `ip rule` knows no replace. */
  readonly rulePriorities: ReadonlySet<number>;
}

export const nothingStands: Standing = {
  namespace: false,
  veths: new Set(),
  rulePriorities: new Set(),
};

/** 15 characters are the kernel's limit: 62 bits of the task's ID and the attachment's place. */
export function vethName(taskId: string, index: number): string {
  return `v-${taskId.slice(0, 12)}${index.toString(36)}`;
}

/** Whether a link of this name may be the one of this task. */
export function isVethOf(taskId: string, name: string): boolean {
  return (
    name.startsWith(`v-${taskId.slice(0, 12)}`) && name.length === Math.min(15, taskId.length + 3)
  );
}

export function taskMac(address: string): string {
  const value = parseAddress(address);
  const bytes = [24, 16, 8, 0].map((shift) =>
    ((value >>> shift) & 0xff).toString(16).padStart(2, "0"),
  );
  return `02:42:${bytes.join(":")}`;
}

/** The attachment that the default route and DNS go through: an internal network leads nowhere. */
export function mainAttachment(
  attachments: readonly OverlayAttachment[],
): OverlayAttachment | undefined {
  return attachments.find(({ overlay }) => !overlay.internal) ?? attachments[0];
}

export function planAttach(options: AttachOptions): AttachPlan {
  const { taskId, attachments, standing } = options;
  return {
    host: [
      ...(standing.namespace ? [] : [`netns add ${taskId}`]),
      ...attachments.flatMap((attachment, index) => hostLines(attachment, index, options)),
    ],
    inside: [
      "link set lo up",
      ...attachments.flatMap((attachment, index) => insideLines(attachment, index, options)),
    ],
  };
}

/** Everything of these tasks, in one batch. */
export function planDetach(
  taskIds: readonly string[],
  veths: readonly string[],
): readonly string[] {
  return [
    ...veths.map((veth) => `link set dev ${veth} group ${departingGroup}`),
    ...(veths.length === 0 ? [] : [`link del group ${departingGroup}`]),
    ...taskIds.map((taskId) => `netns del ${taskId}`),
  ];
}

function hostLines(
  { address }: OverlayAttachment,
  index: number,
  { taskId, mtu, source, standing }: AttachOptions,
): readonly string[] {
  const veth = vethName(taskId, index);
  const mac = taskMac(address);
  const add = `link add ${veth} address ${gatewayMac} mtu ${mtu} type veth peer name eth${index} netns ${taskId} address ${mac} mtu ${mtu}`;
  return [
    ...(standing.veths.has(veth) ? [] : [add]),
    // No link-local address: tasks would reach the host's services on it.
    `link set ${veth} addrgenmode none up`,
    `neigh replace ${address} lladdr ${mac} dev ${veth} nud permanent`,
    `route replace ${address}/32 dev ${veth} src ${source}`,
  ];
}

function insideLines(
  attachment: OverlayAttachment,
  index: number,
  { attachments, standing }: AttachOptions,
): readonly string[] {
  const { overlay, address } = attachment;
  const { gateway, subnet } = overlay;
  const device = `eth${index}`;
  const lines = [
    `addr replace ${address}/${subnet.prefixLength} dev ${device} noprefixroute`,
    `link set ${device} addrgenmode none up`,
    `neigh replace ${gateway} lladdr ${gatewayMac} dev ${device} nud permanent`,
    `route replace ${gateway} dev ${device} scope link`,
    `route replace ${subnet.text} via ${gateway} dev ${device}`,
  ];
  if (attachment === mainAttachment(attachments)) {
    return [...lines, `route replace default via ${gateway} dev ${device}`];
  }
  // Answers leave by the interface that was asked: from another one they would be spoofed.
  const table = tableBase + index;
  const rule = `rule add pref ${table} from ${address} lookup ${table}`;
  return [
    ...lines,
    `route replace default via ${gateway} dev ${device} table ${table}`,
    ...(standing.rulePriorities.has(table) ? [] : [rule]),
  ];
}
