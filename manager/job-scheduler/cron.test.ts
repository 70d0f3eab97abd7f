import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { checkCron, checkTimeZone, lastRunMs, nextRunMs } from "./cron.ts";

const at = (time: string) => Date.parse(`${time}Z`);

function next(expression: string, timeZone: string, after: string, count: number): string[] {
  const moments: string[] = [];
  for (let ms = at(after); moments.length < count; ) {
    const nextMs = nextRunMs({ expression, timeZone }, ms);
    if (nextMs === undefined) break;
    ms = nextMs;
    moments.push(new Date(ms).toISOString().slice(5, 16));
  }
  return moments;
}

const times: readonly (readonly [string, string, string, string, readonly string[]])[] = [
  ["every five minutes", "*/5 * * * *", "", "2026-01-01T00:01", ["01-01T00:05", "01-01T00:10"]],
  [
    "names and ranges",
    "0 9 * jan-mar mon-fri",
    "",
    "2026-03-31T08:00",
    ["03-31T09:00", "01-01T09:00"],
  ],
  ["either kind of days", "0 0 13 * 5", "", "2026-01-10T00:00", ["01-13T00:00", "01-16T00:00"]],
  ["Sunday by both its numbers", "0 0 * * 7", "", "2026-01-01T00:00", ["01-04T00:00"]],
  ["@hourly", "@hourly", "", "2026-01-01T00:00", ["01-01T01:00"]],
  ["29 February", "0 0 29 2 *", "", "2026-01-01T00:00", ["02-29T00:00"]],
  ["a time zone", "0 12 * * *", "Asia/Kolkata", "2026-01-01T00:00", ["01-01T06:30"]],
  // On 29 March there is no 02:30, clocks go from 02:00 to 03:00, 01:00 UTC.
  [
    "an hour that is left out: at its end",
    "30 2 * * *",
    "Europe/Berlin",
    "2026-03-28T00:00",
    ["03-28T01:30", "03-29T01:00", "03-30T00:30"],
  ],
  [
    "every hour, one left out",
    "0 * * * *",
    "Europe/Berlin",
    "2026-03-28T23:30",
    ["03-29T00:00", "03-29T01:00", "03-29T02:00"],
  ],
  // On 25 October there are two of 02:30, at 00:30 and 01:30 UTC.
  [
    "an hour that comes twice: once",
    "30 2 * * *",
    "Europe/Berlin",
    "2026-10-24T12:00",
    ["10-25T00:30", "10-26T01:30"],
  ],
  [
    "every half hour, one hour twice",
    "*/30 * * * *",
    "Europe/Berlin",
    "2026-10-24T23:59",
    ["10-25T00:00", "10-25T00:30", "10-25T01:00", "10-25T01:30", "10-25T02:00"],
  ],
];

for (const [name, expression, timeZone, after, moments] of times) {
  test(`cron, ${name}`, () => {
    checkCron(expression);
    checkTimeZone(timeZone);
    assert.deepEqual(next(expression, timeZone, after, moments.length), moments);
  });
}

const refused: readonly (readonly [string, string])[] = [
  ["", 'is empty: write five fields, like "*/5 * * * *"'],
  ["* * * *", "has 4 fields: write 5: minute, hour, day of the month, month, day of the week"],
  ["0 * * * * *", "has 6 fields: write 5: minute, hour, day of the month, month, day of the week"],
  ["60 * * * *", 'has "60" as minute: use 0 to 59'],
  ["* 24 * * *", 'has "24" as hour: use 0 to 23'],
  ["* * 0 * *", 'has "0" as day of the month: use 1 to 31'],
  ["* * * foo *", 'has "foo" as month: use 1 to 12 or jan to dec'],
  ["* * * * 8", 'has "8" as day of the week: use 0 to 7 or sun to sat'],
  ["* * L * *", 'has "L" as day of the month: use 1 to 31'],
  ["? * * * *", 'has "?" as minute: use *, 0-59, lists (1,2), ranges (1-5) and steps (*/5)'],
  ["1, * * * *", 'has "1," as minute: use *, 0-59, lists (1,2), ranges (1-5) and steps (*/5)'],
  ["* 22-2 * * *", 'has "22-2" as hour, a range that ends before it begins: write 22-23,0-2'],
  ["5/10 * * * *", 'has "5/10" as minute, a step without a range: write 5-59/10'],
  ["*/0 * * * *", "has the step 0 as minute: use a step of 1 to 60"],
  ["0 0 30 2 *", "never comes: no month of those has such a day"],
  ["@dayly", "is none of the known names: did you mean @daily?"],
  [
    "@reboot",
    "is none of the known names: use @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly",
  ],
  [
    "2026-01-01T00:00:00Z",
    "has 1 fields: write 5: minute, hour, day of the month, month, day of the week",
  ],
];

for (const [expression, problem] of refused) {
  test(`cron, refused: "${expression}" ${problem}`, () => {
    const message = `"${expression}" ${problem}`;
    assert.throws(() => checkCron(expression), { code: "invalid-argument", message });
  });
}

test("cron, time zones that there are not, and offsets, are refused by name", () => {
  for (const [zone, advice] of [
    ["Europe/Berlim", "did you mean Europe/Berlin?"],
    ["+02:00", "use one like Europe/Berlin"],
  ]) {
    const message = `"${zone}" is not a time zone: ${advice}`;
    assert.throws(() => checkTimeZone(zone ?? ""), { code: "invalid-argument", message });
  }
});

test("cron, whatever the text, it is refused with words or has a next moment", () => {
  const parts = fc.constantFrom(
    "*",
    "0",
    "5",
    "31",
    "60",
    "/",
    "-",
    ",",
    "mon",
    "jan",
    " ",
    "@daily",
    "L",
    "é",
  );
  const property = fc.property(fc.array(parts, { maxLength: 14 }), (list) => {
    const expression = list.join("");
    try {
      checkCron(expression);
    } catch (thrown) {
      assert.equal((thrown as { code?: string }).code, "invalid-argument", String(thrown));
      return;
    }
    assert.ok(nextRunMs({ expression, timeZone: "" }, 0) !== undefined);
  });
  fc.assert(property, { numRuns: 2_000 });
});

/** Minutes and hours as lists; by hand, minute by minute, in the zone's own time. */
test("cron, lists of minutes and hours come when a clock of the zone shows them, on days without a change", () => {
  const zones = fc.constantFrom("", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu");
  const list = (max: number) => fc.uniqueArray(fc.nat(max), { minLength: 1, maxLength: 4 });
  const property = fc.property(
    zones,
    list(59),
    list(23),
    fc.nat(1_439),
    (zone, minutes, hours, start) => {
      const expression = `${minutes.join(",")} ${hours.join(",")} * * *`;
      checkCron(expression);
      const format = new Intl.DateTimeFormat("en-GB", {
        timeZone: zone || "UTC",
        hour: "2-digit",
        minute: "2-digit",
        hourCycle: "h23",
      });
      const startMs = at("2026-06-10T00:00") + start * 60_000;
      const time = { expression, timeZone: zone };
      let expectedMs = startMs + 60_000;
      for (; ; expectedMs += 60_000) {
        const [hour, minute] = format.format(expectedMs).split(":").map(Number);
        if (minutes.includes(minute ?? -1) && hours.includes(hour ?? -1)) break;
      }
      assert.equal(nextRunMs(time, startMs), expectedMs);
      assert.equal(lastRunMs(time, expectedMs), expectedMs);
      assert.ok((lastRunMs(time, expectedMs - 1) ?? 0) <= startMs);
    },
  );
  fc.assert(property, { numRuns: 60 });
});

test("cron, over changes of clocks moments only grow, and the last one is the one before the next", () => {
  const expressions = fc.constantFrom("30 2 * * *", "*/20 * * * *", "0 1-3 * * *", "15,45 0 * * *");
  const zones = fc.constantFrom(
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Havana",
  );
  const property = fc.property(
    expressions,
    zones,
    fc.nat(365 * 24 * 60),
    (expression, timeZone, minute) => {
      const time = { expression, timeZone };
      const startMs = at("2026-01-01T00:00") + minute * 60_000;
      const firstMs = nextRunMs(time, startMs) ?? 0;
      const secondMs = nextRunMs(time, firstMs) ?? 0;
      assert.ok(startMs < firstMs && firstMs < secondMs);
      assert.equal(lastRunMs(time, secondMs - 1), firstMs);
      assert.equal(nextRunMs(time, firstMs - 1), firstMs);
    },
  );
  fc.assert(property, { numRuns: 300 });
});
