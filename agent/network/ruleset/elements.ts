/**
 * The sets and maps that carry all state of the rules, but for the services': those are in services/maps.ts. One list, from
 * which the declarations, the reader and the plan are made.
 */

export interface Declaration {
  /** Family of the table `swarm` that it is in. */
  readonly table: "inet" | "netdev";
  readonly kind: "set" | "map";
  readonly type: string;
}

const subnets = "type ipv4_addr; flags interval;";
const subnets6 = "type ipv6_addr; flags interval;";
const pairs = "type ipv4_addr . ipv4_addr; flags interval;";
const pairs6 = "type ipv6_addr . ipv6_addr; flags interval;";

export const declarations = {
  /** Every address of every node. */
  nodes: { table: "inet", kind: "set", type: "type ipv4_addr;" },
  nodes6: { table: "inet", kind: "set", type: "type ipv6_addr;" },
  /** Subnets of all networks. */
  pool: { table: "inet", kind: "set", type: subnets },
  pool6: { table: "inet", kind: "set", type: subnets6 },
  /** Subnet . the same subnet, of networks whose tasks reach each other. */
  samenet: { table: "inet", kind: "set", type: pairs },
  samenet6: { table: "inet", kind: "set", type: pairs6 },
  /** Subnet . its gateway: where its tasks ask for names. */
  resolver: { table: "inet", kind: "set", type: pairs },
  resolver6: { table: "inet", kind: "set", type: pairs6 },
  /** No way out. */
  internal: { table: "inet", kind: "set", type: subnets },
  internal6: { table: "inet", kind: "set", type: subnets6 },
  /** Of the host's own services, DNS and ping alone. */
  closed: { table: "inet", kind: "set", type: subnets },
  closed6: { table: "inet", kind: "set", type: subnets6 },
  gateway: { table: "inet", kind: "map", type: "type ipv4_addr : ipv4_addr; flags interval;" },
  gateway6: { table: "inet", kind: "map", type: "type ipv6_addr : ipv6_addr; flags interval;" },
  /** MAC of a node on a VXLAN device → zone → mark. */
  node_zone: { table: "inet", kind: "map", type: "typeof ether saddr : ct zone;" },
  zone_mark: { table: "inet", kind: "map", type: "typeof ct zone : meta mark;" },
  /** Subnets of encrypted networks. */
  secret: { table: "netdev", kind: "set", type: subnets },
  secret6: { table: "netdev", kind: "set", type: subnets6 },
  /** Mark of a reply → MAC of the node that it goes back through. */
  zone_mac: { table: "netdev", kind: "map", type: "typeof meta mark : ether daddr;" },
} as const satisfies Readonly<Record<string, Declaration>>;

export type ElementsName = keyof typeof declarations;

export const elementsNames = Object.keys(declarations) as readonly ElementsName[];

/** Key → value; a set's elements have the empty one. */
export type Elements = Readonly<Record<ElementsName, ReadonlyMap<string, string>>>;

const none: ReadonlyMap<string, string> = new Map();

export const noElements = Object.fromEntries(elementsNames.map((name) => [name, none])) as Elements;

export function declarationLines(table: Declaration["table"]): readonly string[] {
  return elementsNames
    .filter((name) => declarations[name].table === table)
    .map((name) => `  ${declarations[name].kind} ${name} { ${declarations[name].type} }`);
}

export function setOf(keys: Iterable<string>): ReadonlyMap<string, string> {
  return new Map([...keys].map((key) => [key, ""]));
}

/** More in one line is slow to parse and hard to read in an error. */
const lineElementsMax = 500;

export function addLines(
  name: ElementsName,
  elements: ReadonlyMap<string, string>,
): readonly string[] {
  const texts = [...elements].map(([key, value]) => (value === "" ? key : `${key} : ${value}`));
  return elementLines(`add element ${declarations[name].table} swarm ${name}`, texts);
}

export function deleteLines(name: ElementsName, keys: Iterable<string>): readonly string[] {
  return elementLines(`delete element ${declarations[name].table} swarm ${name}`, [...keys]);
}

function elementLines(words: string, texts: readonly string[]): readonly string[] {
  const lines: string[] = [];
  for (let start = 0; start < texts.length; start += lineElementsMax) {
    lines.push(`${words} { ${texts.slice(start, start + lineElementsMax).join(", ")} }`);
  }
  return lines;
}
