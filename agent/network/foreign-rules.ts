/**
 * What firewalls of others on this host do to the network's packets, read from the text of all rules. An accept of ours does
 * not overrule a drop of theirs. Docker offers a place for others' rules, the chain DOCKER-USER: there the network's links are
 * let through, behind the rules that the user has there. Everything else is only named, with the command that heals it. Pure.
 */

/** A table of iptables' with Docker's chain, in which something is missing. */
export interface DockerTable {
  readonly program: "iptables" | "ip6tables";
  /** Lines for `PROGRAM-restore --noflush`. */
  readonly lines: readonly string[];
}

export interface ForeignRules {
  readonly docker: readonly DockerTable[];
  /** What may stand in the way, and how it is healed. */
  readonly obstacles: readonly string[];
}

/** By which our rules are known among the user's. */
const permitComment = "swarm";

const links = ["swv-+", "sw-vx+"] as const;

const permits = links.flatMap((link) => [`-i ${link}`, `-o ${link}`]);

interface Chain {
  readonly name: string;
  /** "forward", "input" …; undefined: no base chain. */
  readonly hook: string | undefined;
  readonly dropsByPolicy: boolean;
  readonly rules: readonly string[];
}

interface Table {
  readonly family: string;
  readonly name: string;
  readonly chains: readonly Chain[];
}

export function readForeignRules(ruleset: string): ForeignRules {
  const docker: DockerTable[] = [];
  const obstacles: string[] = [];
  for (const table of parseTables(ruleset)) {
    if (table.name === "swarm") continue;
    const user = table.chains.find(({ name }) => name === "DOCKER-USER");
    for (const chain of table.chains) {
      if (!mayDrop(chain)) continue;
      if (chain.hook === "forward" && user !== undefined)
        docker.push(...missingPermits(table, user));
      else if (chain.hook === "forward" && !permitsLinks(table)) {
        obstacles.push(
          `${nameOf(table, chain)} drops what is forwarded: ${forwardCure(table, chain)}`,
        );
      } else if (chain.hook === "input" && !permitsData(table)) {
        obstacles.push(
          `${nameOf(table, chain)} may drop what nodes send each other: open UDP ports 4789 and 51820, and links swv-+`,
        );
      }
    }
  }
  return { docker: docker.filter(({ lines }) => lines.length > 0), obstacles };
}

/** Of what `PROGRAM -S DOCKER-USER` prints: lines that remove what is ours. */
export function removalLines(listing: string): readonly string[] {
  return listing
    .split("\n")
    .filter((line) => line.startsWith("-A ") && line.includes(`--comment ${permitComment} `))
    .map((line) => line.replace(/^-A/, "-D"));
}

type Writable<Chain> = { -readonly [Key in keyof Chain]: Chain[Key] };

function parseTables(ruleset: string): readonly Table[] {
  const tables: { family: string; name: string; chains: Chain[] }[] = [];
  let chain: (Writable<Chain> & { readonly rules: string[] }) | undefined;
  for (const line of ruleset.split("\n")) {
    const [, family, name] = /^table (\S+) (\S+) \{$/.exec(line) ?? [];
    const [, chainName] = /^\tchain (\S+) \{$/.exec(line) ?? [];
    const text = line.trim();
    if (family !== undefined && name !== undefined) tables.push({ family, name, chains: [] });
    else if (chainName !== undefined) {
      chain = { name: chainName, hook: undefined, dropsByPolicy: false, rules: [] };
      tables.at(-1)?.chains.push(chain);
    } else if (text === "}") chain = undefined;
    else if (chain !== undefined && text.startsWith("type ")) {
      chain.hook = / hook (\w+) /.exec(text)?.[1];
      chain.dropsByPolicy = text.includes("policy drop");
    } else if (chain !== undefined && text !== "") chain.rules.push(withoutCounters(text));
  }
  return tables;
}

function withoutCounters(rule: string): string {
  return rule
    .replace(/counter packets \d+ bytes \d+/g, "")
    .replace(/\s+/g, " ")
    .trim();
}

function mayDrop({ hook, dropsByPolicy, rules }: Chain): boolean {
  return hook !== undefined && (dropsByPolicy || /^(drop|reject\b)/.test(rules.at(-1) ?? ""));
}

/** Before the last `return`, which Docker has put there; the user's own rules come first. */
function missingPermits({ family }: Table, { rules }: Chain): readonly DockerTable[] {
  const stands = new Set(rules);
  const missing = permits.filter((permit) => !stands.has(`${inWordsOfNft(permit)} accept`));
  const place = rules.at(-1) === "return" ? `-I DOCKER-USER ${rules.length}` : "-A DOCKER-USER";
  const lines = missing.map(
    (permit) => `${place} ${permit} -m comment --comment ${permitComment} -j ACCEPT`,
  );
  if (family !== "ip" && family !== "ip6") return [];
  return [{ program: family === "ip" ? "iptables" : "ip6tables", lines }];
}

function inWordsOfNft(permit: string): string {
  return permit.replace(/^-i (.*)\+$/, 'iifname "$1*"').replace(/^-o (.*)\+$/, 'oifname "$1*"');
}

function permitsLinks({ chains }: Table): boolean {
  const rules = chains.flatMap((chain) => chain.rules).filter((rule) => / accept\b/.test(rule));
  return ["iifname", "oifname"].every((direction) =>
    rules.some((rule) => new RegExp(`${direction} .*"swv-\\*"`).test(rule)),
  );
}

function permitsData({ chains }: Table): boolean {
  return chains.some(({ rules }) => rules.some((rule) => /dport .*\b4789\b/.test(rule)));
}

function nameOf({ family, name }: Table, chain: Chain): string {
  return `chain ${chain.name} of table ${family} ${name}`;
}

function forwardCure({ family, name, chains }: Table, chain: Chain): string {
  if (chains.some((each) => each.name.startsWith("ufw"))) {
    const rules = links.flatMap((link) =>
      ["in", "out"].map((way) => `ufw route allow ${way} on ${link}`),
    );
    return `run ${rules.join("; ")}`;
  }
  if (name === "firewalld") {
    return `run ${links.map((link) => `firewall-cmd --permanent --zone=trusted --add-interface=${link}`).join("; ")}; firewall-cmd --reload`;
  }
  if (chain.name === "FORWARD" && (family === "ip" || family === "ip6")) {
    const program = family === "ip" ? "iptables" : "ip6tables";
    return `run ${permits.map((permit) => `${program} -I FORWARD ${permit} -j ACCEPT`).join("; ")}`;
  }
  const rule = (direction: string) =>
    `nft insert rule ${family} ${name} ${chain.name} ${direction} '{ "swv-*", "sw-vx*" }' accept`;
  return `run ${rule("iifname")}; ${rule("oifname")}`;
}
