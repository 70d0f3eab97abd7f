/** The difference between two pictures of services as lines for one transaction of `nft`. Pure. */
import { Breaks } from "./breaks.ts";
import { mapNames, serviceSetNames } from "./maps.ts";
import type { ServicePicture } from "./picture.ts";
import type { Slots } from "./slots.ts";

/** More in one line is slow to parse and hard to read in an error. */
const lineElementsMax = 500;

/**
 * An element cannot be overwritten: what has another backend is deleted and added. Deletes come first. To delete what is not
 * there fails the whole transaction: `actual` must be what stands.
 */
export async function planServices(
  actual: ServicePicture,
  wanted: ServicePicture,
): Promise<readonly string[]> {
  const breaks = new Breaks();
  const deletes: string[] = [];
  const adds: string[] = [];
  for (const name of mapNames) {
    const changes = await mapChanges(actual.maps[name], wanted.maps[name], breaks);
    deletes.push(...lines(`delete element inet swarm ${name}`, changes.gone));
    adds.push(...lines(`add element inet swarm ${name}`, changes.added));
  }
  for (const name of serviceSetNames) {
    if (actual.sets[name] === wanted.sets[name]) continue;
    const gone = [...actual.sets[name]].filter((element) => !wanted.sets[name].has(element));
    const added = [...wanted.sets[name]].filter((element) => !actual.sets[name].has(element));
    deletes.push(...lines(`delete element inet swarm ${name}`, gone));
    adds.push(...lines(`add element inet swarm ${name}`, added));
  }
  return [...deletes, ...adds];
}

type Slotted = ReadonlyMap<string, Slots>;

async function mapChanges(actual: Slotted, wanted: Slotted, breaks: Breaks) {
  const gone: string[] = [];
  const added: string[] = [];
  if (actual === wanted) return { gone, added };
  for (const [key, slots] of wanted) {
    const standing = actual.get(key) ?? [];
    if (standing === slots) continue;
    compare(key, standing, slots, { gone, added });
    if (breaks.isDue(slots.length)) await breaks.take();
  }
  for (const [key, slots] of actual) {
    if (wanted.has(key)) continue;
    compare(key, slots, [], { gone, added });
    if (breaks.isDue(slots.length)) await breaks.take();
  }
  return { gone, added };
}

function compare(
  key: string,
  actual: Slots,
  wanted: Slots,
  { gone, added }: { gone: string[]; added: string[] },
): void {
  const count = Math.max(actual.length, wanted.length);
  for (let slot = 0; slot < count; slot += 1) {
    const is = actual[slot];
    const to = wanted[slot];
    if (is === to) continue;
    if (is !== undefined) gone.push(`${key} . ${slot}`);
    if (to !== undefined) added.push(`${key} . ${slot} : ${to}`);
  }
}

function lines(words: string, elements: readonly string[]): readonly string[] {
  const texts: string[] = [];
  for (let start = 0; start < elements.length; start += lineElementsMax) {
    texts.push(`${words} { ${elements.slice(start, start + lineElementsMax).join(", ")} }`);
  }
  return texts;
}
