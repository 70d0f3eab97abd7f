/**
 * Cron expressions, as crontab(5) has them: five fields of lists, ranges, steps and names, or @daily and its like. Where
 * both days of the month and days of the week are given, either will do. Pure.
 *
 * When clocks go forward, what would have been in the hour left out is at its end; when they go back, a fixed hour is once,
 * and "*" is in both. croner finds the moments; this file refuses what it reads beyond crontab(5), and what never comes.
 */
import { Cron } from "croner";
import { Fault } from "#proto/fault.ts";
import { nearMiss } from "#proto/near-miss.ts";

export interface CronTime {
  readonly expression: string;
  /** IANA; empty: UTC. */
  readonly timeZone: string;
}

interface Field {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  /** The first one is that of `min`, or of 0 for days of the week. */
  readonly names?: readonly string[];
}

const fields: readonly Field[] = [
  { name: "minute", min: 0, max: 59 },
  { name: "hour", min: 0, max: 23 },
  { name: "day of the month", min: 1, max: 31 },
  {
    name: "month",
    min: 1,
    max: 12,
    names: "jan feb mar apr may jun jul aug sep oct nov dec".split(" "),
  },
  { name: "day of the week", min: 0, max: 7, names: "sun mon tue wed thu fri sat".split(" ") },
];

const nicknames = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

const itemPattern = /^(?:(\*)|([0-9a-z]+)(?:-([0-9a-z]+))?)(?:\/(\d+))?$/i;

/** Throws a Fault that says what is wrong with the expression. */
export function checkCron(expression: string): void {
  const text = expression.trim();
  if (text === "") throw refusal(expression, `is empty: write five fields, like "*/5 * * * *"`);
  if (text.startsWith("@")) {
    if (nicknames.includes(text.toLowerCase())) return;
    const near = nearMiss(text.toLowerCase(), nicknames);
    const advice = near === undefined ? `use ${nicknames.join(", ")}` : `did you mean ${near}?`;
    throw refusal(expression, `is none of the known names: ${advice}`);
  }
  const given = text.split(/\s+/);
  if (given.length !== fields.length) {
    const order = fields.map(({ name }) => name).join(", ");
    throw refusal(expression, `has ${given.length} fields: write ${fields.length}: ${order}`);
  }
  for (const [index, field] of fields.entries()) checkField(expression, field, given[index] ?? "");
  if (nextRunMs({ expression, timeZone: "" }, 0) === undefined) {
    throw refusal(expression, "never comes: no month of those has such a day");
  }
}

/** Throws a Fault that names the time zone. */
export function checkTimeZone(timeZone: string): void {
  if (timeZone === "") return;
  try {
    // Of what this takes, offsets like +01:00 would not follow any clock.
    if (/^[+-]/.test(timeZone)) throw new RangeError();
    Intl.DateTimeFormat("en", { timeZone });
  } catch {
    const near = nearMiss(timeZone, Intl.supportedValuesOf("timeZone"));
    const advice = near === undefined ? "use one like Europe/Berlin" : `did you mean ${near}?`;
    throw new Fault("invalid-argument", `"${timeZone}" is not a time zone: ${advice}`);
  }
}

/** Why no moment can be found: of a schedule in the store, which a newer manager may have let in. */
export function cronProblem({ expression, timeZone }: CronTime): string | undefined {
  try {
    nextRunMs({ expression, timeZone }, 0);
    return undefined;
  } catch (thrown) {
    return `this manager cannot read the schedule: ${Fault.from(thrown).message}`;
  }
}

/** The first moment after `afterMs`, both in milliseconds since 1970; undefined: there is none. */
export function nextRunMs({ expression, timeZone }: CronTime, afterMs: number): number | undefined {
  return cronOf(expression, timeZone).nextRun(new Date(afterMs))?.getTime();
}

/** The last moment until then, that included. */
export function lastRunMs(time: CronTime, untilMs: number): number | undefined {
  const cron = cronOf(time.expression, time.timeZone);
  const [last] = cron.previousRuns(1, new Date(untilMs + 1_000));
  return last === undefined || last.getTime() <= untilMs
    ? last?.getTime()
    : cron.previousRuns(1, last)[0]?.getTime();
}

function cronOf(expression: string, timeZone: string): Cron {
  // Without a function it makes no timer.
  return new Cron(expression, { timezone: timeZone || "UTC", mode: "5-part", paused: true });
}

function checkField(expression: string, field: Field, text: string): void {
  for (const item of text.split(",")) {
    const [, star, from, to, step] = itemPattern.exec(item) ?? [];
    if (star === undefined && from === undefined) {
      const problem = `has "${text}" as ${field.name}: use *, ${field.min}-${field.max}, lists (1,2), ranges (1-5) and steps (*/5)`;
      throw refusal(expression, problem);
    }
    const first = star === undefined ? valueOf(expression, field, from ?? "") : field.min;
    const last = to === undefined ? undefined : valueOf(expression, field, to);
    if (last !== undefined && last < first) {
      const problem = `has "${item}" as ${field.name}, a range that ends before it begins: write ${from}-${field.max},${field.min}-${to}`;
      throw refusal(expression, problem);
    }
    if (step === undefined) continue;
    if (star === undefined && to === undefined) {
      const problem = `has "${item}" as ${field.name}, a step without a range: write ${from}-${field.max}/${step}`;
      throw refusal(expression, problem);
    }
    const stepMax = field.max - field.min + 1;
    if (Number(step) >= 1 && Number(step) <= stepMax) continue;
    throw refusal(
      expression,
      `has the step ${step} as ${field.name}: use a step of 1 to ${stepMax}`,
    );
  }
}

function valueOf(expression: string, { name, min, max, names = [] }: Field, text: string): number {
  const named = names.indexOf(text.toLowerCase());
  if (named >= 0) return named + min;
  const value = /^\d{1,2}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  const others = names.length === 0 ? "" : ` or ${names[0]} to ${names.at(-1)}`;
  throw refusal(expression, `has "${text}" as ${name}: use ${min} to ${max}${others}`);
}

function refusal(expression: string, problem: string): Fault {
  return new Fault("invalid-argument", `"${expression}" ${problem}`);
}
