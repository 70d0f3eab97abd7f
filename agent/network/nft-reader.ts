/**
 * Reads our tables from nft. The text of all rules without elements is cheap however many elements there are; of a table it
 * is not, so elements are read set by set, and those of services not at all.
 */
import type { Exec } from "#agent/exec.ts";
import {
  declarations,
  type Elements,
  type ElementsName,
  elementsNames,
  noElements,
} from "./ruleset/elements.ts";
import { describeTable } from "./ruleset/ruleset.ts";
import type { Device } from "./devices.ts";
import { isRecord, number, parseNft, text, unexpected } from "./tool-output.ts";

export interface Tables {
  /** As `tableVersion` and `guardVersion` say it; undefined: there is none. */
  readonly table: string | undefined;
  readonly guard: string | undefined;
  readonly elements: Elements;
  /** All rules of the host, ours among them, without elements. */
  readonly ruleset: string;
}

/** `links` are the VXLAN devices that stand: an old kernel takes them out of the guard's chain when they go. */
export async function readTables(exec: Exec, links: Iterable<Device>): Promise<Tables> {
  const ruleset = (await exec.run("nft", ["-t", "list", "ruleset"])).stdout;
  const table = versionOf(tableText(ruleset, "inet"));
  const guardText = tableText(ruleset, "netdev");
  const hook = /^\s*type filter hook egress .*$/m.exec(guardText ?? "")?.[0] ?? "";
  const hooked = [...links].every((device) => hook.includes(device));
  const guard = guardText === undefined || hooked ? versionOf(guardText) : "loose";
  const elements = await readElements(exec, ruleset);
  return { table, guard, elements, ruleset };
}

function tableText(ruleset: string, family: "inet" | "netdev"): string | undefined {
  const head = `table ${family} swarm {\n`;
  const start = ruleset.startsWith(head) ? 0 : ruleset.indexOf(`\n${head}`) + 1;
  if (!ruleset.startsWith(head, start)) return undefined;
  const end = ruleset.indexOf("\n}", start);
  return ruleset.slice(start, end === -1 ? undefined : end);
}

function versionOf(table: string | undefined): string | undefined {
  if (table === undefined) return undefined;
  const comment = /^\tcomment "([0-9a-f]+)"$/m.exec(table)?.[1] ?? "unknown";
  return describeTable(comment, table);
}

async function readElements(exec: Exec, ruleset: string): Promise<Elements> {
  const read = async (name: ElementsName) => {
    const { table, kind } = declarations[name];
    // A table of another version may lack it; to nft that is an error, with a message in words.
    const stands = tableText(ruleset, table)?.includes(`\t${kind} ${name} {`) ?? false;
    if (!stands) return noElements[name];
    const { stdout } = await exec.run("nft", ["-j", "list", kind, table, "swarm", name]);
    return parseElements(stdout);
  };
  // One after the other: to start many processes at once would hold the event loop.
  const entries: [string, ReadonlyMap<string, string>][] = [];
  for (const name of elementsNames) entries.push([name, await read(name)]);
  return Object.fromEntries(entries) as Elements;
}

export function parseElements(json: string): ReadonlyMap<string, string> {
  const entry = parseNft(json)
    .map((each) => each["set"] ?? each["map"])
    .find(isRecord);
  const elements = Array.isArray(entry?.["elem"]) ? entry["elem"] : [];
  return new Map(
    elements.map((element): [string, string] =>
      Array.isArray(element)
        ? [parseElement(element[0]), parseElement(element[1])]
        : [parseElement(element), ""],
    ),
  );
}

function parseElement(element: unknown): string {
  if (typeof element === "string") return element;
  if (typeof element === "number") return String(element);
  if (isRecord(element) && Array.isArray(element["concat"])) {
    return element["concat"].map(parseElement).join(" . ");
  }
  if (isRecord(element) && isRecord(element["prefix"])) {
    return `${text(element["prefix"], "addr")}/${number(element["prefix"], "len")}`;
  }
  throw unexpected("an element of a set", element);
}
