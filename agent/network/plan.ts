/**
 * The difference between what stands in a host's kernel and what is wanted, as batches for `nft`, `ip` and `bridge`. Pure.
 *
 * Order: rules first, so that nothing is ever open; then links, `unreachable` routes, gateways and ways back; the guard on the
 * devices; sysctls; peers; routes; services. What goes, goes the other way round: no service leads where no route does.
 * Lines that are repeated change nothing (`replace`) or are in the plan only where the picture says that they are needed
 * (`add`, `del`).
 */
import { type DataPlane, type VxlanLink, without } from "./data-plane.ts";
import { type Device, devices } from "./devices.ts";
import { PartedMap } from "./parted-map.ts";
import {
  addLines,
  declarations,
  deleteLines,
  type ElementsName,
  elementsNames,
} from "./ruleset/elements.ts";
import type { RulesetOptions } from "./ruleset/options.ts";
import { guardLines, tableLines } from "./ruleset/ruleset.ts";
import { isText6, overlap, parseSubnet } from "./subnet.ts";

export type Step =
  /** "ip6" is `ip -6`, for lines that do not show their family. */
  | { readonly kind: "nft" | "ip" | "ip6" | "bridge"; readonly lines: readonly string[] }
  | { readonly kind: "sysctl"; readonly path: string; readonly value: string };

/** The routes and rules that are ours, among those of the host. */
export const routeProtocol = 115;
const unreachableMetric = 4096;

export interface PlanOptions {
  /** Undefined: nothing is wanted. */
  readonly ruleset: RulesetOptions | undefined;
  /** Lines for nft that lead from the services that stand to those that are wanted; from none where the table is another. */
  readonly services: readonly string[];
}

export function planDataPlane(
  actual: DataPlane,
  wanted: DataPlane,
  { ruleset, services }: PlanOptions,
): readonly Step[] {
  const links = planLinks(actual, wanted);
  // What hangs on a device goes with it.
  const base = withoutWhatHangsOn(links.gone, actual);
  const rules = planRules(base, wanted, { ruleset, services });
  const guard = planGuard(base, wanted);
  const peers = planPeers(base, wanted);
  const routes = planRoutes(base, wanted);
  const steps: readonly Step[] = [
    { kind: "nft", lines: rules.first },
    { kind: "ip", lines: [...links.lines, ...planArrivals(base, wanted)] },
    { kind: "ip", lines: planPolicy(base.rules, wanted.rules) },
    { kind: "ip6", lines: planPolicy(base.rules6, wanted.rules6) },
    { kind: "nft", lines: guard.first },
    ...planSysctls(base, wanted, links.fresh),
    { kind: "bridge", lines: peers.bridge },
    { kind: "ip", lines: [...peers.ip, ...routes.arriving] },
    { kind: "nft", lines: rules.services },
    { kind: "ip", lines: [...routes.leaving, ...planDepartures(base, wanted)] },
    { kind: "nft", lines: [...guard.last, ...rules.last] },
  ];
  return merge(steps);
}

/** Neighbouring steps of one kind become one: each costs a process. */
function merge(steps: readonly Step[]): readonly Step[] {
  const merged: Step[] = [];
  for (const step of steps) {
    const previous = merged.at(-1);
    if (step.kind === "sysctl") merged.push(step);
    else if (step.lines.length === 0) continue;
    else if (previous === undefined || previous.kind !== step.kind) merged.push(step);
    else merged[merged.length - 1] = { kind: step.kind, lines: [...previous.lines, ...step.lines] };
  }
  return merged;
}

function planLinks(actual: DataPlane, wanted: DataPlane) {
  const lines: string[] = [];
  const gone = new Set<Device>();
  const fresh = new Set<Device>();
  for (const device of devices) {
    const is = actual.links.get(device);
    const to = wanted.links.get(device);
    if (to === undefined) {
      if (is !== undefined) lines.push(`link del ${device}`);
      if (is !== undefined) gone.add(device);
      continue;
    }
    const same =
      is !== undefined &&
      is.vni === to.vni &&
      is.port === to.port &&
      is.local === to.local &&
      is.mac === to.mac;
    if (same && is.mtu === to.mtu) continue;
    if (!same) {
      lines.push(...(is === undefined ? [] : [`link del ${device}`]), ...newLink(device, to));
      gone.add(device);
      fresh.add(device);
    }
    lines.push(`link set ${device} mtu ${to.mtu} up`);
  }
  return { lines, gone, fresh };
}

// With its address from the start: to set one, even the same, takes all its neighbours away.
function newLink(device: Device, { vni, local, mac, port }: VxlanLink): readonly string[] {
  return [
    `link add ${device} address ${mac} type vxlan id ${vni} local ${local} dstport ${port} nolearning`,
    `link set ${device} addrgenmode none`,
  ];
}

function withoutWhatHangsOn(gone: ReadonlySet<Device>, actual: DataPlane): DataPlane {
  if (gone.size === 0) return actual;
  const stays = (text: string) => ![...gone].some((device) => ` ${text} `.includes(` ${device} `));
  const kept = (map: Iterable<readonly [string, string]>) =>
    [...map].filter(([key, value]) => stays(key) && stays(value));
  return {
    ...actual,
    // The table stays when its device goes, but its chain does not hang on it.
    guard: actual.guard === undefined ? undefined : "loose",
    neighbours: new Map(kept(actual.neighbours)),
    fdb: new Map(kept(actual.fdb)),
    routes: PartedMap.from(kept(actual.routes)),
    hops: new Set([...actual.hops].filter(stays)),
    backRoutes: new Set([...actual.backRoutes].filter(stays)),
  };
}

function planRules(actual: DataPlane, wanted: DataPlane, { ruleset, services }: PlanOptions) {
  if (wanted.table === undefined || ruleset === undefined) {
    const gone = actual.table === undefined ? [] : ["delete table inet swarm"];
    return { first: [], services: [], last: gone };
  }
  const names = elementsNames.filter((name) => declarations[name].table === "inet");
  if (actual.table !== wanted.table) {
    const elements = names.flatMap((name) => addLines(name, wanted.elements[name]));
    return { first: tableLines(ruleset, [...elements, ...services]), services: [], last: [] };
  }
  return { ...planElements(names, actual, wanted), services };
}

function planGuard(actual: DataPlane, wanted: DataPlane) {
  if (wanted.guard === undefined) {
    const gone = actual.guard === undefined ? [] : ["delete table netdev swarm"];
    return { first: [], last: gone };
  }
  const names = elementsNames.filter((name) => declarations[name].table === "netdev");
  if (actual.guard !== wanted.guard) {
    const elements = names.flatMap((name) => addLines(name, wanted.elements[name]));
    return { first: guardLines([...wanted.links.keys()], elements), last: [] };
  }
  return planElements(names, actual, wanted);
}

function planElements(names: readonly ElementsName[], actual: DataPlane, wanted: DataPlane) {
  const first: string[] = [];
  const last: string[] = [];
  for (const name of names) {
    const is = actual.elements[name];
    const to = wanted.elements[name];
    if (is === to) continue;
    const added = new Map([...to].filter(([key, value]) => is.get(key) !== value));
    const gone = new Set([...is.keys()].filter((key) => to.get(key) !== is.get(key)));
    // An element cannot be overwritten, and the kernel refuses an interval that overlaps another one: what is in the way
    // goes before.
    const early = inTheWay(name, gone, added);
    first.push(...deleteLines(name, early), ...addLines(name, added));
    last.push(...deleteLines(name, without(gone, early)));
  }
  return { first, last };
}

function inTheWay(
  name: ElementsName,
  gone: ReadonlySet<string>,
  added: ReadonlyMap<string, string>,
): Set<string> {
  if (added.size === 0 || gone.size === 0) return new Set();
  if (!declarations[name].type.includes("interval")) {
    return new Set([...gone].filter((key) => added.has(key)));
  }
  const subnetOf = (key: string) => parseSubnet(key.split(" . ")[0] ?? "");
  const subnets = [...added.keys()].map(subnetOf);
  return new Set([...gone].filter((key) => subnets.some((each) => overlap(each, subnetOf(key)))));
}

function planArrivals(actual: DataPlane, wanted: DataPlane): readonly string[] {
  return [
    ...[...without(wanted.subnets, actual.subnets)].map(
      (subnet) =>
        `route add unreachable ${subnet} metric ${unreachableMetric} proto ${routeProtocol}`,
    ),
    ...[...without(wanted.hops, actual.hops)].map((hop) => `addr add ${hop} nodad`),
    // Never chosen as a source for the outside: by its scope, or for being out of date.
    ...[...without(wanted.gateways, actual.gateways)].map((gateway) =>
      isText6(gateway)
        ? `addr add ${gateway}/128 dev lo nodad preferred_lft 0`
        : `addr add ${gateway}/32 dev lo scope link`,
    ),
  ];
}

function planDepartures(actual: DataPlane, wanted: DataPlane): readonly string[] {
  return [
    ...[...without(actual.hops, wanted.hops)].map((hop) => `addr del ${hop}`),
    ...[...without(actual.gateways, wanted.gateways)].map((gateway) =>
      isText6(gateway) ? `addr del ${gateway}/128 dev lo` : `addr del ${gateway}/32 dev lo`,
    ),
    ...[...without(actual.subnets, wanted.subnets)].map(
      (subnet) =>
        `route del unreachable ${subnet} metric ${unreachableMetric} proto ${routeProtocol}`,
    ),
  ];
}

function planPolicy(actual: ReadonlySet<string>, wanted: ReadonlySet<string>): readonly string[] {
  return [
    ...[...without(wanted, actual)].map((rule) => `rule add ${rule} protocol ${routeProtocol}`),
    ...[...without(actual, wanted)].map((rule) => `rule del ${rule} protocol ${routeProtocol}`),
  ];
}

function planPeers(actual: DataPlane, wanted: DataPlane) {
  const bridge: string[] = [];
  const ip: string[] = [];
  for (const [mac, address] of actual.fdb) {
    if (wanted.fdb.get(mac) !== address) bridge.push(`fdb del ${mac} dst ${address}`);
  }
  for (const [mac, address] of wanted.fdb) {
    if (actual.fdb.get(mac) !== address) bridge.push(`fdb replace ${mac} dst ${address}`);
  }
  for (const [hop, mac] of wanted.neighbours) {
    if (actual.neighbours.get(hop) !== mac) {
      ip.push(`neigh replace ${hop} lladdr ${mac} nud permanent`);
    }
  }
  for (const hop of actual.neighbours.keys()) {
    if (!wanted.neighbours.has(hop)) ip.push(`neigh del ${hop}`);
  }
  // The ways back are no peers', but lead to such a neighbour.
  for (const route of without(wanted.backRoutes, actual.backRoutes)) {
    ip.push(isText6(route) ? `route replace ${route}` : `route replace ${route} onlink`);
  }
  return { bridge, ip };
}

function planRoutes(actual: DataPlane, wanted: DataPlane) {
  const arriving: string[] = [];
  const leaving: string[] = [];
  for (const [address, way] of wanted.routes.notIn(actual.routes)) {
    const line = `route replace ${hostPrefix(address)} ${way}`;
    arriving.push(isText6(address) ? line : `${line} onlink`);
  }
  // With the device: a route of the same address to a task on this host stays.
  for (const [address, way] of actual.routes.notIn(wanted.routes)) {
    if (wanted.routes.has(address)) continue;
    const [device = ""] = /dev \S+/.exec(way) ?? [];
    leaving.push(`route del ${hostPrefix(address)} ${device}`);
  }
  return { arriving, leaving };
}

export function hostPrefix(address: string): string {
  return `${address}/${isText6(address) ? 128 : 32}`;
}

function planSysctls(
  actual: DataPlane,
  wanted: DataPlane,
  fresh: ReadonlySet<Device>,
): readonly Step[] {
  const isFresh = (path: string) => [...fresh].some((device) => path.includes(`/${device}/`));
  return [...wanted.sysctls]
    .filter(([path, value]) => isFresh(path) || actual.sysctls.get(path) !== value)
    .map(([path, value]) => ({ kind: "sysctl", path, value }));
}
