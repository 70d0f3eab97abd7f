/** Everything of a host's network that a stranger could change, as text that is the same whenever the same stands. */
import type { Namespace } from "#agent/network/testing/namespace.ts";

const commands: readonly (readonly string[])[] = [
  ["ip", "-o", "addr", "show"],
  ["ip", "-o", "-d", "link", "show"],
  ["ip", "-4", "route", "show", "table", "all"],
  ["ip", "-6", "route", "show", "table", "all"],
  ["ip", "-4", "rule", "show"],
  ["ip", "-6", "rule", "show"],
  ["ip", "neigh", "show", "nud", "permanent"],
  ["bridge", "fdb", "show"],
  ["nft", "-s", "list", "ruleset"],
  // The files that the agent sets; not all of them stand.
  [
    "sh",
    "-c",
    "cd /proc/sys/net; grep -Hs . ipv4/ip_forward ipv6/conf/all/forwarding ipv4/conf/s*-*/rp_filter ipv4/conf/s*-*/src_valid_mark ipv4/conf/s*-*/route_localnet; true",
  ],
];

export type HostPicture = ReadonlyMap<string, number>;

/** Lines, and how often each is there. */
export async function hostPicture(namespace: Namespace): Promise<HostPicture> {
  const outputs = await Promise.all(
    commands.map(async ([command = "", ...args]) => {
      const { stdout } = await namespace.run(command, args);
      return command === "nft" ? setLines(stdout) : linesOf(stdout);
    }),
  );
  const lines = Map.groupBy(outputs.flat(), (line) => line);
  return new Map([...lines].map(([line, all]) => [line, all.length]));
}

/** What is in one of them and not in the other: nothing, where they are the same. */
export function pictureDifference(was: HostPicture, is: HostPicture): readonly string[] {
  const lines = new Set([...was.keys(), ...is.keys()]);
  return [...lines]
    .filter((line) => was.get(line) !== is.get(line))
    .map((line) => `${(was.get(line) ?? 0) > (is.get(line) ?? 0) ? "-" : "+"} ${line}`)
    .toSorted();
}

function linesOf(output: string): readonly string[] {
  return output.split("\n").flatMap((line) => (line.trim() === "" ? [] : withoutNumbers(line)));
}

/** Numbers that a link gets anew, and counters of time. */
function withoutNumbers(line: string): string {
  return line
    .replace(/^\d+: /, "")
    .replace(/@if\d+/, "")
    .replace(/ link-netnsid \d+/, "")
    .replace(/ link-netns \S+/, "")
    .replace(/ (qdisc|qlen|numtxqueues) .*/, "")
    .replace(/(valid_lft|preferred_lft|expires) \S+/g, "")
    .trim();
}

/** One line per element: a set's elements come in no order. */
function setLines(ruleset: string): readonly string[] {
  const flat = ruleset.replaceAll(/elements = \{([^}]*)\}/g, (_, elements: string) =>
    elements
      .split(",")
      .map((element) => `element ${element.trim().replaceAll(/\s+/g, " ")}`)
      .join("\n"),
  );
  let block = "";
  let place = 0;
  return flat.split("\n").flatMap((line) => {
    const text = line.trim();
    if (text.endsWith("{")) {
      block = text;
      place = 0;
    }
    if (text === "" || text === "}") return [];
    // Rules have an order.
    place += 1;
    return block.startsWith("chain") ? `${block} ${place} ${text}` : `${block} ${text}`;
  });
}
