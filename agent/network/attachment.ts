/**
 * A task's namespace and its links, as lines for `ip`. The task is a /32, and a /128, behind a veth: inside, every route goes
 * through the gateway, whose MAC is the same on every host and known beforehand, so that a task never asks for a
 * neighbour. Made for `ip -batch`: lines for the host, and lines for the namespace. Pure.
 */
import { parseAddress } from "#proto/ipv4.ts";
import { gatewayMac, vethPrefix } from "./devices.ts";
import type { OverlayAttachment } from "./network-state.ts";
import { hostPrefix } from "./plan.ts";
import { isText6 } from "./subnet.ts";

/** One digit of the veth's name. */
export const attachmentsMax = 36;

/** Links on their way out are deleted as a group: the kernel waits once, not once per link (1.5 s → 50 ms for 50). */
const departingGroup = 0x73776d;

/**
 * Switches of the host's side, below net/ipv4/conf/LINK: answers to 127.0.0.1 of the host, where a published port was asked,
 * come in by the link; and ARP is answered to the task's own address alone: others would fill the host's table of neighbours.
 */
export const linkSysctls = ["route_localnet", "arp_filter"] as const;

/** Routing tables and priorities of rules inside a task's namespace, one per attachment. */
const tableBase = 100;

/** An attachment as the kernel has it. */
export interface TaskLink extends OverlayAttachment {
  readonly mtu: number;
}

export interface AttachPlan {
  readonly host: readonly string[];
  readonly inside: readonly string[];
  /** For `ip -6`: lines that do not show their family. */
  readonly inside6: readonly string[];
}

/** The host's own source addresses towards tasks. */
export interface LinkHost {
  readonly source: string;
  readonly source6: string | undefined;
}

export interface AttachOptions extends LinkHost {
  readonly taskId: string;
  readonly links: readonly TaskLink[];
  /** What stands already, from an earlier attempt or an earlier life of the agent. */
  readonly standing: Standing;
}

export interface Standing {
  readonly namespace: boolean;
  readonly veths: ReadonlySet<string>;
  /** Families and priorities of the rules in the namespace, "4 100": `ip rule` knows no replace. */
  readonly rulePriorities: ReadonlySet<string>;
}

export const nothingStands: Standing = {
  namespace: false,
  veths: new Set(),
  rulePriorities: new Set(),
};

/** 15 characters are the kernel's limit: 51 bits of the task's ID and the attachment's place. */
export function vethName(taskId: string, index: number): string {
  return `${idPart(taskId)}${index.toString(36)}`;
}

/** Whether a link of this name may be the one of this task. */
export function isVethOf(taskId: string, name: string): boolean {
  const part = idPart(taskId);
  return name.startsWith(part) && name.length === part.length + 1;
}

function idPart(taskId: string): string {
  return `${vethPrefix}${taskId.slice(0, 10)}`;
}

export function taskMac(address: string): string {
  const value = parseAddress(address);
  const bytes = [24, 16, 8, 0].map((shift) =>
    ((value >>> shift) & 0xff).toString(16).padStart(2, "0"),
  );
  return `02:42:${bytes.join(":")}`;
}

/** The attachment of the default route and DNS, as proto/main-network.ts has it for networks. */
export function mainAttachment<Attachment extends Pick<OverlayAttachment, "overlay">>(
  attachments: readonly Attachment[],
): Attachment | undefined {
  return (
    attachments.find(({ overlay }) => !overlay.local && !overlay.internal) ??
    attachments.find(({ overlay }) => overlay.local) ??
    attachments[0]
  );
}

export function planAttach(options: AttachOptions): AttachPlan {
  const { taskId, links, standing } = options;
  return {
    host: [
      ...(standing.namespace ? [] : [`netns add ${taskId}`]),
      ...links.flatMap((link, index) => hostLines(link, index, options)),
    ],
    inside: [
      "link set lo up",
      ...links.flatMap((link, index) => insideLines(link, index, links)),
      ...ruleLines(options, 4),
    ],
    inside6: ruleLines(options, 6),
  };
}

/** What kernel-reader.ts finds of a link that is as planned. */
export function factsOf({ addresses, mtu }: TaskLink, host: LinkHost): readonly string[] {
  const mac = macOf(addresses);
  return [
    `up mtu ${mtu}`,
    ...linkSysctls,
    ...addresses.map((address) => `neigh ${address} ${mac}`),
    ...addresses.map((address) => `route ${address} src ${sourceOf(address, host) ?? ""}`),
  ];
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

function macOf([address = ""]: readonly string[]): string {
  return taskMac(address);
}

function sourceOf(address: string, { source, source6 }: LinkHost): string | undefined {
  return isText6(address) ? source6 : source;
}

function hostLines(
  { addresses, mtu }: TaskLink,
  index: number,
  options: AttachOptions,
): readonly string[] {
  const { taskId, standing } = options;
  const veth = vethName(taskId, index);
  const mac = macOf(addresses);
  const add = `link add ${veth} address ${gatewayMac} mtu ${mtu} type veth peer name eth${index} netns ${taskId} address ${mac} mtu ${mtu}`;
  return [
    // No link-local address: tasks would reach the host's services on it.
    ...(standing.veths.has(veth) ? [`link set ${veth} mtu ${mtu}`] : [add]),
    `link set ${veth} addrgenmode none up`,
    ...addresses.flatMap((address) => {
      const source = sourceOf(address, options);
      const route = `route replace ${hostPrefix(address)} dev ${veth}`;
      return [
        `neigh replace ${address} lladdr ${mac} dev ${veth} nud permanent`,
        source === undefined ? route : `${route} src ${source}`,
      ];
    }),
  ];
}

function insideLines(link: TaskLink, index: number, links: readonly TaskLink[]): readonly string[] {
  const device = `eth${index}`;
  const isMain = link === mainAttachment(links);
  const ways = rangesOf(link).flatMap(({ gateway, subnet }) => [
    `neigh replace ${gateway} lladdr ${gatewayMac} dev ${device} nud permanent`,
    `route replace ${gateway} dev ${device}${subnet.family === 4 ? " scope link" : ""}`,
    `route replace ${subnet.text} via ${gateway} dev ${device}`,
    // Answers leave by the interface that was asked: from another one they would be spoofed.
    `route replace default via ${gateway} dev ${device}${isMain ? "" : ` table ${tableBase + index}`}`,
  ]);
  return [
    ...rangesOf(link).map(({ address, subnet }) =>
      subnet.family === 4
        ? `addr replace ${address}/${subnet.prefixLength} dev ${device} noprefixroute`
        : // Nobody else can have it, and to ask around takes a second.
          `addr replace ${address}/128 dev ${device} nodad`,
    ),
    `link set ${device} mtu ${link.mtu}`,
    `link set ${device} addrgenmode none up`,
    ...ways,
  ];
}

/** The families that the task has an address of. */
function rangesOf({ overlay, addresses }: OverlayAttachment) {
  return overlay.ranges.flatMap((range) => {
    const address = addresses.find((text) => isText6(text) === (range.subnet.family === 6));
    return address === undefined ? [] : [{ ...range, address }];
  });
}

function ruleLines({ links, standing }: AttachOptions, family: 4 | 6): readonly string[] {
  return links.flatMap((link, index) => {
    const table = tableBase + index;
    if (link === mainAttachment(links) || standing.rulePriorities.has(`${family} ${table}`)) {
      return [];
    }
    return rangesOf(link)
      .filter(({ subnet }) => subnet.family === family)
      .map(({ address }) => `rule add pref ${table} from ${address} lookup ${table}`);
  });
}
