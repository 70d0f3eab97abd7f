/** Health checks and their state from the JSON that an earlier run of this program wrote. Pure. */
import {
  type Fields,
  parseFields,
  parseList,
  parseNumber,
  parseOneOf,
  parseText,
} from "../task/parse-field.ts";
import type { HealthCheck } from "./health-check.ts";
import type { Health, HealthStatus, Probe } from "./health.ts";

const statuses = ["starting", "healthy", "unhealthy"] as const satisfies readonly HealthStatus[];

export function parseCheck(fields: Fields): HealthCheck {
  return {
    command: parseList(fields["command"]).map(parseText),
    intervalMs: parseNumber(fields["intervalMs"]),
    timeoutMs: parseNumber(fields["timeoutMs"]),
    retries: parseNumber(fields["retries"]),
    startPeriodMs: parseNumber(fields["startPeriodMs"]),
    startIntervalMs: parseNumber(fields["startIntervalMs"]),
  };
}

export function parseHealth(fields: Fields): Health {
  return {
    status: parseOneOf(fields["status"], statuses),
    failures: parseNumber(fields["failures"]),
    sinceMs: parseNumber(fields["sinceMs"]),
    lastAtMs: parseNumber(fields["lastAtMs"]),
    probes: parseList(fields["probes"]).map((value) => parseProbe(parseFields(value))),
  };
}

function parseProbe(fields: Fields): Probe {
  return {
    startedAtMs: parseNumber(fields["startedAtMs"]),
    endedAtMs: parseNumber(fields["endedAtMs"]),
    exitCode: parseNumber(fields["exitCode"]),
    output: parseText(fields["output"]),
  };
}
