/**
 * Reads the services' maps and sets of table `inet swarm`. Of thousands of services this is megabytes of text and seconds of
 * `nft`: for a start, and after an error. As text, because JSON of that size would hold the event loop while it is parsed;
 * through a file, because `nft` writes each word by itself, and each would be an event.
 */
import { once } from "node:events";
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Exec } from "#agent/exec.ts";
import { Fault } from "#proto/fault.ts";
import { Breaks } from "./breaks.ts";
import { largeSlots, mapNames, serviceSetNames } from "./maps.ts";
import { emptyServices, type ServicePicture } from "./picture.ts";

/** A minute of a slow and busy host's. */
const listTimeoutMs = 60_000;

/** Of any table but ours, and of ours in another version, it reads nothing. */
export async function readServices(exec: Exec, scratchRoot: string): Promise<ServicePicture> {
  // Without elements. Even the mere list of tables would have nft fetch all of them.
  const { stdout } = await exec.run("nft", ["-t", "list", "ruleset", "inet"]);
  if (!/^table inet swarm \{$/m.test(stdout)) return emptyServices;
  // A folder of its own: a look for a repair goes on beside others.
  const folder = await mkdtemp(join(scratchRoot, "services-"));
  try {
    const path = join(folder, "table.nft");
    await list(exec, path);
    return await parseServices(await readFile(path, "utf8"));
  } catch (thrown) {
    throw Fault.wrap("Cannot read services' addresses and ports from nftables", thrown);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function list(exec: Exec, path: string): Promise<void> {
  await using file = await open(path, "w");
  // Numbers: names of protocols depend on the host's /etc/protocols.
  const child = exec.start("nft", ["-n", "list", "table", "inet", "swarm"], {
    stdio: ["ignore", file.fd, "ignore"],
    timeout: listTimeoutMs,
    killSignal: "SIGKILL",
  });
  const [status] = await once(child, "close");
  if (status === 0) return;
  throw new Fault("internal", "nft did not list table inet swarm: run `nft list table inet swarm`");
}

/** What nft prints and no rule of ours can find, such as a slot beyond the last, is left out. */
export async function parseServices(text: string): Promise<ServicePicture> {
  const breaks = new Breaks();
  const elements = new Map<string, string[]>();
  let own: string[] | undefined;
  for (const line of linesOf(text)) {
    if (breaks.isDue(1)) await breaks.take();
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
    if (breaks.isDue(1)) await breaks.take();
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
