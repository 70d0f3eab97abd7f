import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { mapNames, serviceSetNames } from "./maps.ts";
import { emptyServices, type ServicePicture } from "./picture.ts";
import { planServices } from "./plan.ts";
import { parseServices } from "./reader.ts";

/** Each map's and set's elements as nftables has them: key → value. */
type Elements = Map<string, Map<string, string>>;

function elementsOf({ maps, sets }: ServicePicture): Elements {
  const elements: Elements = new Map();
  for (const name of mapNames) {
    const flat = new Map<string, string>();
    for (const [key, slots] of maps[name]) {
      for (const [slot, backend] of slots.entries()) {
        if (backend !== undefined) flat.set(`${key} . ${slot}`, backend);
      }
    }
    elements.set(name, flat);
  }
  for (const name of serviceSetNames) {
    elements.set(name, new Map([...sets[name]].map((element) => [element, ""])));
  }
  return elements;
}

/** As nftables does: it refuses to delete what is not there, and to add a key that is. */
function perform(elements: Elements, lines: readonly string[]): number {
  let count = 0;
  for (const line of lines) {
    const [, verb, name = "", list = ""] =
      /^(add|delete) element inet swarm (\w+) \{ (.+) \}$/.exec(line) ?? assert.fail(line);
    const own = elements.get(name) ?? assert.fail(line);
    for (const element of list.split(", ")) {
      const [key = "", value = ""] = element.split(" : ");
      count += 1;
      if (verb === "delete") assert(own.delete(key), line);
      else {
        assert(!own.has(key), line);
        own.set(key, value);
      }
    }
  }
  return count;
}

function differences(actual: Elements, wanted: Elements): number {
  let count = 0;
  for (const [name, own] of wanted) {
    const standing = actual.get(name) ?? new Map<string, string>();
    for (const [key, value] of own) {
      if (standing.get(key) !== value) count += standing.has(key) ? 2 : 1;
    }
    count += [...standing.keys()].filter((key) => !own.has(key)).length;
  }
  return count;
}

/** As nft prints a table. */
function print(elements: Elements): string {
  const numeric = (text: string) =>
    text.replace("tcp", "6").replace("udp", "17").replace("sctp", "132");
  const blocks = [...elements].map(([name, own]) => {
    const texts = [...own].map(([key, value]) => numeric(value === "" ? key : `${key} : ${value}`));
    const list = texts.join(",\n\t\t\t     ");
    const body = texts.length === 0 ? "" : `\t\telements = { ${list} }\n`;
    return `\tmap ${name} {\n\t\ttypeof ip daddr . numgen random mod 60 : ip daddr\n${body}\t}\n`;
  });
  const chain = "\tchain filter_in {\n\t\ttype filter hook input priority 0;\n\t\taccept\n\t}\n";
  return `table inet swarm {\n${blocks.join("\n")}\n${chain}}\n`;
}

const someSlots = fc.array(fc.option(fc.constantFrom("A", "B", "C"), { nil: undefined }), {
  minLength: 1,
  maxLength: 8,
});
const keys: Readonly<Record<string, readonly string[]>> = {
  vip: ["10.0.0.2", "10.0.0.3"],
  pub: ["tcp . 80", "udp . 53", "sctp . 7"],
  pubip: ["127.0.0.1 . tcp . 80", "fd00::1 . udp . 53"],
};
const someMaps = fc.record(
  Object.fromEntries(
    mapNames.map((name) => {
      const own = keys[name.replace(/a?6?$/, "")] ?? assert.fail(name);
      const entries = fc.uniqueArray(fc.tuple(fc.constantFrom(...own), someSlots), {
        selector: ([key]) => key,
      });
      return [name, entries.map((list) => new Map(list))];
    }),
  ) as Record<(typeof mapNames)[number], fc.Arbitrary<Map<string, (string | undefined)[]>>>,
);
const pairs = ["10.0.0.5 . 10.0.0.5", "10.0.0.6 . 10.0.0.6"];
const pairs6 = ["fd00::5 . fd00::5", "fd00::6 . fd00::6"];
const someSets = fc.record({
  ports: fc.subarray(["tcp . 80", "udp . 53", "sctp . 7"]).map((own) => new Set(own)),
  hairpin: fc.subarray(pairs).map((own) => new Set(own)),
  hairpin6: fc.subarray(pairs6).map((own) => new Set(own)),
});
const somePicture: fc.Arbitrary<ServicePicture> = fc.record({ maps: someMaps, sets: someSets });

test("services' plan, leads from any picture to any other, by the fewest elements", async () => {
  await fc.assert(
    fc.asyncProperty(somePicture, somePicture, async (actual, wanted) => {
      const elements = elementsOf(actual);
      const count = perform(elements, await planServices(actual, wanted));
      assert.deepEqual(elements, elementsOf(wanted));
      assert.equal(count, differences(elementsOf(actual), elementsOf(wanted)));
      assert.deepEqual(await planServices(wanted, wanted), []);
    }),
  );
});

test("services' plan, no line is absurdly long", async () => {
  const slots = Array.from({ length: 1020 }, (_, slot) => `10.0.0.${slot % 200}`);
  const maps = { ...emptyServices.maps, vipa: new Map([["10.0.0.2", slots]]) };
  const lines = await planServices(emptyServices, { ...emptyServices, maps });
  assert.equal(lines.length, 3);
});

test("services' reader, reads what was written", async () => {
  await fc.assert(
    fc.asyncProperty(somePicture, async (picture) => {
      const read = await parseServices(print(elementsOf(picture)));
      assert.deepEqual(elementsOf(read), elementsOf(picture));
    }),
  );
});

test("services' reader, takes any text", async () => {
  const word = fc.constantFrom(
    "\t",
    "\n",
    " ",
    "map vip {",
    "elements = {",
    " . ",
    " : ",
    "}",
    "7",
  );
  const texts = fc.oneof(
    fc.string(),
    fc.array(word).map((list) => list.join("")),
  );
  await fc.assert(
    fc.asyncProperty(texts, async (text) => {
      const { maps } = await parseServices(text);
      for (const name of mapNames) {
        for (const slots of maps[name].values()) assert(slots.length <= 1020);
      }
    }),
  );
});
