/**
 * The difference between what stands in a host's kernel and what is wanted, as batches for `nft`, `ip` and `bridge`. Pure.
 *
 * Order: rules first, so that nothing is ever open; then the link, `unreachable` routes and gateways; the guard on the
 * device; sysctls; peers; routes. What goes, goes the other way round. Lines that are repeated change nothing (`replace`)
 * or are in the plan only where the picture says that they are needed (`add`, `del`).
 */
import { type DataPlane, type SetName, setNames, without } from "./data-plane.ts";
import { overlap, parseSubnet } from "./subnet.ts";
import { guardLines, type RulesetOptions, tableLines } from "./ruleset.ts";

export type Step =
  | { readonly kind: "nft" | "ip" | "bridge"; readonly lines: readonly string[] }
  | { readonly kind: "sysctl"; readonly path: string; readonly value: string };

/** The routes that are ours, among those of the host. */
export const routeProtocol = 115;
export const unreachableMetric = 4096;

export function planDataPlane(
  actual: DataPlane,
  wanted: DataPlane,
  options: RulesetOptions,
): readonly Step[] {
  const link = planLink(actual, wanted, options);
  // What hangs on a device goes with it.
  const base = link.fresh ? onFreshLink(actual) : actual;
  const rules = planRules(base, wanted, options);
  const peers = planPeers(base, wanted, options);
  const steps: readonly Step[] = [
    { kind: "nft", lines: rules.first },
    { kind: "ip", lines: [...link.lines, ...planArrivals(base, wanted)] },
    { kind: "nft", lines: planGuard(link.fresh ? loosened(actual) : actual, wanted, options) },
    ...planSysctls(base, wanted, link.fresh),
    { kind: "bridge", lines: peers.bridge },
    {
      kind: "ip",
      lines: [...peers.ip, ...planRoutes(base, wanted, options), ...planDepartures(base, wanted)],
    },
    { kind: "nft", lines: rules.last },
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

function onFreshLink(actual: DataPlane): DataPlane {
  return { ...actual, neighbours: new Map(), fdb: new Map(), routes: new Map() };
}

function planLink(actual: DataPlane, wanted: DataPlane, { device }: RulesetOptions) {
  const is = actual.vxlan;
  const to = wanted.vxlan;
  if (to === undefined) {
    return { fresh: is !== undefined, lines: is === undefined ? [] : [`link del ${device}`] };
  }
  const same =
    is !== undefined && is.vni === to.vni && is.port === to.port && is.local === to.local;
  if (same && is.mac === to.mac && is.mtu === to.mtu) return { fresh: false, lines: [] };
  const set = `link set ${device} address ${to.mac} mtu ${to.mtu} up`;
  if (same) return { fresh: false, lines: [set] };
  const add = `link add ${device} type vxlan id ${to.vni} local ${to.local} dstport ${to.port} nolearning`;
  const lines = [add, `link set ${device} addrgenmode none`, set];
  return { fresh: true, lines: is === undefined ? lines : [`link del ${device}`, ...lines] };
}

function planRules(actual: DataPlane, wanted: DataPlane, options: RulesetOptions) {
  if (wanted.table === undefined) {
    const gone = actual.table === undefined ? [] : ["delete table inet swarm"];
    return { first: [], last: gone };
  }
  if (actual.table !== wanted.table) {
    return {
      first: tableLines(
        options,
        setNames.flatMap((name) => planAdd(name, wanted.sets[name])),
      ),
      last: [],
    };
  }
  const first: string[] = [];
  const last: string[] = [];
  for (const name of setNames) {
    const added = without(wanted.sets[name], actual.sets[name]);
    const gone = without(actual.sets[name], wanted.sets[name]);
    // The kernel refuses an interval that overlaps another one: what is in the way goes before.
    const early = name === "nodes" ? new Set<string>() : inTheWay(gone, added);
    first.push(...planDelete(name, early), ...planAdd(name, added));
    last.push(...planDelete(name, without(gone, early)));
  }
  return { first, last };
}

function inTheWay(gone: ReadonlySet<string>, added: ReadonlySet<string>): Set<string> {
  if (added.size === 0 || gone.size === 0) return new Set();
  const subnetOf = (element: string) => parseSubnet(element.split(" . ")[0] ?? "");
  const subnets = [...added].map(subnetOf);
  return new Set(
    [...gone].filter((element) => subnets.some((subnet) => overlap(subnet, subnetOf(element)))),
  );
}

function planAdd(name: SetName, elements: ReadonlySet<string>): readonly string[] {
  return elements.size === 0
    ? []
    : [`add element inet swarm ${name} { ${[...elements].join(", ")} }`];
}

function planDelete(name: SetName, elements: ReadonlySet<string>): readonly string[] {
  return elements.size === 0
    ? []
    : [`delete element inet swarm ${name} { ${[...elements].join(", ")} }`];
}

/** The table stays when its device goes, but its chain hangs on nothing. */
function loosened(actual: DataPlane): DataPlane {
  return { ...actual, guard: actual.guard === undefined ? undefined : "loose" };
}

function planGuard(actual: DataPlane, wanted: DataPlane, options: RulesetOptions) {
  if (wanted.guard === actual.guard) return [];
  if (wanted.guard === undefined) return ["delete table netdev swarm"];
  return guardLines(options);
}

function planArrivals(actual: DataPlane, wanted: DataPlane): readonly string[] {
  return [
    ...[...without(wanted.subnets, actual.subnets)].map(
      (subnet) =>
        `route add unreachable ${subnet} metric ${unreachableMetric} proto ${routeProtocol}`,
    ),
    // Scope link: never chosen as a source for the outside.
    ...[...without(wanted.gateways, actual.gateways)].map(
      (gateway) => `addr add ${gateway}/32 dev lo scope link`,
    ),
  ];
}

function planDepartures(actual: DataPlane, wanted: DataPlane): readonly string[] {
  return [
    ...[...without(actual.gateways, wanted.gateways)].map(
      (gateway) => `addr del ${gateway}/32 dev lo`,
    ),
    ...[...without(actual.subnets, wanted.subnets)].map(
      (subnet) =>
        `route del unreachable ${subnet} metric ${unreachableMetric} proto ${routeProtocol}`,
    ),
  ];
}

function planPeers(actual: DataPlane, wanted: DataPlane, { device }: RulesetOptions) {
  const bridge: string[] = [];
  const ip: string[] = [];
  for (const [mac, address] of actual.fdb) {
    if (wanted.fdb.get(mac) !== address) bridge.push(`fdb del ${mac} dev ${device} dst ${address}`);
  }
  for (const [mac, address] of wanted.fdb) {
    if (actual.fdb.get(mac) !== address)
      bridge.push(`fdb replace ${mac} dev ${device} dst ${address}`);
  }
  for (const [address, mac] of wanted.neighbours) {
    if (actual.neighbours.get(address) !== mac) {
      ip.push(`neigh replace ${address} lladdr ${mac} dev ${device} nud permanent`);
    }
  }
  for (const address of actual.neighbours.keys()) {
    if (!wanted.neighbours.has(address)) ip.push(`neigh del ${address} dev ${device}`);
  }
  // Without a device there is nothing to take from.
  return wanted.vxlan === undefined ? { bridge: [], ip: [] } : { bridge, ip };
}

function planRoutes(actual: DataPlane, wanted: DataPlane, { device }: RulesetOptions) {
  if (wanted.vxlan === undefined) return [];
  const lines: string[] = [];
  for (const [address, way] of wanted.routes) {
    if (actual.routes.get(address) !== way) {
      lines.push(`route replace ${address}/32 ${way} dev ${device} onlink`);
    }
  }
  // With the device: a route of the same address to a task on this host stays.
  for (const address of actual.routes.keys()) {
    if (!wanted.routes.has(address)) lines.push(`route del ${address}/32 dev ${device}`);
  }
  return lines;
}

function planSysctls(actual: DataPlane, wanted: DataPlane, fresh: boolean): readonly Step[] {
  return [...wanted.sysctls]
    .filter(([path, value]) => fresh || actual.sysctls.get(path) !== value)
    .map(([path, value]) => ({ kind: "sysctl", path, value }));
}
