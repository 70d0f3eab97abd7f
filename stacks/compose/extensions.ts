/**
 * Our own keys of stack files, for what clusters do here and the file format has no words for. They begin with "x-", as
 * the format wants it, so other tools pass over them; here they are checked like all others.
 */
import { choice, count, duration, flag, map, name, text, whole, word } from "./schema-parts.ts";

export interface ScheduleEntry {
  readonly cron: string;
  readonly time_zone?: string;
  readonly overlap?: "forbid" | "allow" | "replace";
  readonly keep_completed?: number;
  readonly keep_failed?: number;
  readonly suspended?: boolean;
  readonly starting_deadline?: string;
}

export interface AutoscaleEntry {
  readonly min?: number;
  readonly max: number;
  /** Percent, with or without the sign. */
  readonly cpu?: string | number;
  readonly memory?: string | number;
  readonly scale_up_after?: string;
  readonly scale_down_after?: string;
}

export interface DeployExtensions {
  /** When a job runs: a cron expression, or a map. */
  readonly "x-schedule"?: string | ScheduleEntry;
  readonly "x-autoscale"?: AutoscaleEntry;
  readonly "x-priority"?: number;
  /** How many tasks of a replicated job run at a time. */
  readonly "x-max-concurrent"?: number;
  readonly "x-affinity"?: "none" | "client-ip";
}

export interface UpdateExtensions {
  readonly "x-progress-deadline"?: string;
  /** How many tasks an update changes before it waits to be promoted. */
  readonly "x-canary"?: number;
  readonly "x-canary-promote-after"?: string;
}

export interface ServiceExtensions {
  /** From leaving DNS to the stop signal. */
  readonly "x-stop-delay"?: string;
}

const schedule = {
  ...map(
    {
      cron: name,
      time_zone: text,
      overlap: choice("forbid", "allow", "replace"),
      keep_completed: count,
      keep_failed: count,
      suspended: flag,
      starting_deadline: duration,
    },
    ["cron"],
  ),
  type: ["string", "object"],
  description: 'a cron expression such as "*/5 * * * *", or a map',
};

const positive = { ...count, minimum: 1, description: "a whole number of 1 or more" } as const;
const percent = { ...word, description: "a percentage such as 70%" } as const;

const autoscale = map(
  {
    min: positive,
    max: positive,
    cpu: percent,
    memory: percent,
    scale_up_after: duration,
    scale_down_after: duration,
  },
  ["max"],
);

export const deployExtensions = {
  "x-schedule": schedule,
  "x-autoscale": autoscale,
  "x-priority": whole,
  "x-max-concurrent": positive,
  "x-affinity": choice("none", "client-ip"),
} as const;

export const updateExtensions = {
  "x-progress-deadline": duration,
  "x-canary": count,
  "x-canary-promote-after": duration,
} as const;

export const serviceExtensions = { "x-stop-delay": duration } as const;
