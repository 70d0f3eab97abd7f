/** What a stranger may break on a host: for each kind, the commands that break one thing of ours that stands now. */
import type { Namespace } from "#agent/network/testing/namespace.ts";

export interface Damage {
  readonly what: string;
  readonly choices: (namespace: Namespace) => Promise<readonly Command[]>;
}

export type Command = readonly [program: string, ...args: string[]];

const ours = /^(10\.100\.|172\.31\.77\.|fd00:64)/;
const ourDevice = /^(sw-\w+|swv-\w+)$/;

export const damages: readonly Damage[] = [
  { what: "an IPv4 route", choices: (namespace) => routes(namespace, "-4") },
  { what: "an IPv6 route", choices: (namespace) => routes(namespace, "-6") },
  { what: "an IPv4 policy rule", choices: (namespace) => policyRules(namespace, "-4") },
  { what: "an IPv6 policy rule", choices: (namespace) => policyRules(namespace, "-6") },
  { what: "a neighbour", choices: neighbours },
  { what: "an FDB entry", choices: forwardings },
  { what: "a gateway's address", choices: gatewayAddresses },
  { what: "an element of a set or map", choices: elements },
  { what: "a rule", choices: rules },
  { what: "a rule of the egress table", choices: egressRules },
  { what: "a table", choices: tables },
  { what: "the whole ruleset", choices: ruleset },
  { what: "a device", choices: devices },
  { what: "a sysctl", choices: sysctls },
];

async function linesOf(namespace: Namespace, ...[program, ...args]: Command) {
  const { stdout } = await namespace.run(program, args);
  return stdout.split("\n").filter((line) => line.trim() !== "");
}

function wordsOf(line: string): readonly string[] {
  return line.trim().split(/\s+/);
}

async function routes(namespace: Namespace, family: "-4" | "-6"): Promise<readonly Command[]> {
  const lines = await linesOf(namespace, "ip", family, "route", "show", "table", "all");
  const made = lines
    .filter((line) => /dev (sw|v)-/.test(line) || ours.test(wordsOf(line)[1] ?? ""))
    // The kernel makes these itself, with an address or a link.
    .filter((line) => !/table local|proto kernel|^(multicast|anycast|local)/.test(line));
  return made.map((line) => ["ip", family, "route", "del", ...wordsOf(line)]);
}

async function policyRules(namespace: Namespace, family: "-4" | "-6") {
  const lines = await linesOf(namespace, "ip", family, "rule", "show");
  const priorities = lines.map((line) => Number.parseInt(line, 10));
  return priorities
    .filter((priority) => priority > 0 && priority < 32_766)
    .map((priority): Command => ["ip", family, "rule", "del", "pref", String(priority)]);
}

async function neighbours(namespace: Namespace): Promise<readonly Command[]> {
  const lines = await linesOf(namespace, "ip", "neigh", "show", "nud", "permanent");
  return lines
    .map(wordsOf)
    .filter((words) => ourDevice.test(words[2] ?? ""))
    .map(([address = "", , device = ""]) => ["ip", "neigh", "del", address, "dev", device]);
}

async function forwardings(namespace: Namespace): Promise<readonly Command[]> {
  const lines = await linesOf(namespace, "bridge", "fdb", "show");
  return lines
    .map(wordsOf)
    .filter((words) => words.includes("dst") && words.includes("dev"))
    .map((words): Command => {
      const device = words[words.indexOf("dev") + 1] ?? "";
      return ["bridge", "fdb", "del", words[0] ?? "", "dev", device];
    });
}

async function gatewayAddresses(namespace: Namespace): Promise<readonly Command[]> {
  const lines = await linesOf(namespace, "ip", "-o", "addr", "show", "dev", "lo");
  return lines
    .map((line) => wordsOf(line)[3] ?? "")
    .filter((address) => ours.test(address))
    .map((address) => ["ip", "addr", "del", address, "dev", "lo"]);
}

async function elements(namespace: Namespace): Promise<readonly Command[]> {
  const { stdout } = await namespace.run("nft", ["list", "table", "inet", "swarm"]);
  const sets = stdout.matchAll(/\t(?:set|map) (\w+) \{[^{}]*?elements = \{([^}]*)\}/g);
  return [...sets].flatMap(([, set = "", texts = ""]) => {
    const keys = texts.split(",").map((text) => text.trim().split(" : ")[0] ?? "");
    // A few of each, or it would nearly always be one of a service's many slots.
    const some = [keys[0], keys[keys.length >> 1], keys.at(-1)].filter((key) => key !== undefined);
    return some.map(
      (key): Command => ["nft", "delete", "element", "inet", "swarm", set, `{ ${key} }`],
    );
  });
}

async function rules(namespace: Namespace): Promise<readonly Command[]> {
  return await rulesOf(namespace, "inet");
}

async function egressRules(namespace: Namespace): Promise<readonly Command[]> {
  return await rulesOf(namespace, "netdev");
}

async function rulesOf(namespace: Namespace, family: string): Promise<readonly Command[]> {
  const lines = await linesOf(namespace, "nft", "-a", "list", "table", family, "swarm");
  const commands: Command[] = [];
  let chain = "";
  for (const line of lines) {
    chain = /^\tchain (\w+)/.exec(line)?.[1] ?? chain;
    const handle = /^\t\t.* # handle (\d+)$/.exec(line)?.[1];
    if (chain === "" || handle === undefined) continue;
    commands.push(["nft", "delete", "rule", family, "swarm", chain, "handle", handle]);
  }
  const first = lines.flatMap((line) => /^\tchain (\w+)/.exec(line)?.[1] ?? [])[0];
  if (first !== undefined)
    commands.push(["nft", "insert", "rule", family, "swarm", first, "accept"]);
  return commands;
}

async function tables(): Promise<readonly Command[]> {
  return ["inet", "netdev"].map((family) => ["nft", "delete", "table", family, "swarm"]);
}

async function ruleset(): Promise<readonly Command[]> {
  return [["nft", "flush", "ruleset"]];
}

async function devices(namespace: Namespace): Promise<readonly Command[]> {
  const lines = await linesOf(namespace, "ip", "-o", "link", "show");
  return lines
    .map((line) => (wordsOf(line)[1] ?? "").replace(/[:@].*/, ""))
    .filter((device) => device.startsWith("sw-"))
    .flatMap((device): readonly Command[] => [
      ["ip", "link", "del", device],
      ["ip", "link", "set", device, "down"],
      ["ip", "link", "set", device, "mtu", "1400"],
    ]);
}

async function sysctls(): Promise<readonly Command[]> {
  return [
    "net.ipv4.ip_forward=0",
    "net.ipv6.conf.all.forwarding=0",
    "net.ipv4.conf.sw-vx0.rp_filter=1",
    "net.ipv4.conf.sw-vx0.src_valid_mark=0",
    "net.ipv4.conf.sw-vx0.route_localnet=0",
  ].map((setting) => ["sysctl", "-qw", setting]);
}
