/**
 * Reads the services' maps and sets of table `inet swarm`. Of thousands of services this is megabytes of text and seconds of
 * `nft`: for a start, and after an error. As text, because JSON of that size would hold the event loop while it is parsed.
 */
import type { Exec } from "#agent/exec.ts";
import { Breaks } from "./breaks.ts";
import { largeSlots, mapNames, serviceSetNames } from "./maps.ts";
import { emptyServices, type ServicePicture } from "./picture.ts";

export async function readServices(exec: Exec): Promise<ServicePicture> {
  const tables = await exec.run("nft", ["list", "tables", "inet"]);
  if (!/^table inet swarm$/m.test(tables.stdout)) return emptyServices;
  // Numbers: names of protocols depend on the host's /etc/protocols.
  const { stdout } = await exec.run("nft", ["-n", "list", "table", "inet", "swarm"]);
  return await parseServices(stdout);
}

/** What nft prints and no rule of ours can find, such as a slot beyond the last, is left out. */
export async function parseServices(text: string): Promise<ServicePicture> {
  const breaks = new Breaks();
  const elements = new Map<string, string[]>();
  let own: string[] | undefined;
  for (const line of linesOf(text)) {
    await breaks.after(1);
    const [, name] = /^\t\w+ (\w+) \{$/.exec(line) ?? [];
    if (name !== undefined) elements.set(name, (own = []));
    const [, list] = /^\t\t(?:elements = \{|\t) *(.*?)(?: \}|,)?$/.exec(line) ?? [];
    if (list !== undefined) own?.push(...list.split(", "));
  }
  const of = (name: string) => elements.get(name) ?? [];
  const maps: [string, Awaited<ReturnType<typeof parseSlots>>][] = [];
  for (const name of mapNames) maps.push([name, await parseSlots(name, of(name), breaks)]);
  const sets = serviceSetNames.map((name) => [
    name,
    new Set(of(name).map((element) => (name === "ports" ? named(element, 0) : element))),
  ]);
  return {
    maps: { ...emptyServices.maps, ...Object.fromEntries(maps) },
    sets: { ...emptyServices.sets, ...Object.fromEntries(sets) },
  };
}

function* linesOf(text: string): Generator<string> {
  for (let start = 0; start < text.length; ) {
    const end = text.indexOf("\n", start);
    const stop = end === -1 ? text.length : end;
    yield text.slice(start, stop);
    start = stop + 1;
  }
}

async function parseSlots(name: string, elements: readonly string[], breaks: Breaks) {
  const map = new Map<string, (string | undefined)[]>();
  for (const element of elements) {
    await breaks.after(1);
    const [, texts, slot, backend] = /^(.+) \. (\d+) : (.+)$/.exec(element) ?? [];
    if (texts === undefined || backend === undefined || !(Number(slot) < largeSlots)) continue;
    const key = name.startsWith("vip") ? texts : named(texts, name.startsWith("pubip") ? 1 : 0);
    const slots = map.get(key) ?? [];
    map.set(key, slots);
    while (slots.length < Number(slot)) slots.push(undefined);
    slots[Number(slot)] = backend;
  }
  return map;
}

const protocols = new Map([
  ["6", "tcp"],
  ["17", "udp"],
  ["132", "sctp"],
]);

/** With the name of the protocol instead of its number at this place. */
function named(element: string, place: number): string {
  const texts = element.split(" . ");
  const protocol = protocols.get(texts[place] ?? "");
  return protocol === undefined ? element : texts.with(place, protocol).join(" . ");
}
