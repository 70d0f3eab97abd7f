/** A task's state from the JSON that an earlier run of this program wrote; anything else is a "data-loss" Fault. Pure. */
import { Fault } from "#proto/fault.ts";
import { TaskState } from "#proto/gen/swarm/v1/types_pb.ts";
import { parseCheck, parseHealth } from "../health/parse-health.ts";
import {
  damaged,
  type Fields,
  parseFields,
  parseList,
  parseNumber,
  parseOneOf,
  parseText,
} from "./parse-field.ts";
import type { RestartHistory } from "./restart.ts";
import type { Desired, EndedAttempt, Live, Outcome, Phase, State } from "./state.ts";

const desiredStates = ["ready", "running", "stopped"] as const satisfies readonly Desired[];
const outcomes = [
  "complete",
  "shutdown",
  "failed",
  "rejected",
] as const satisfies readonly Outcome[];

export function parseState(text: string): State {
  const fields = parseFields(parseJson(text));
  return {
    phase: parsePhase(parseFields(fields["phase"])),
    desired: parseOneOf(fields["desired"], desiredStates),
    attempt: parseNumber(fields["attempt"]),
    attempts: parseList(fields["attempts"]).map((value) => parseAttempt(parseFields(value))),
    restarts: parseRestarts(parseFields(fields["restarts"])),
    ...(fields["check"] !== undefined && { check: parseCheck(parseFields(fields["check"])) }),
    ...(fields["health"] !== undefined && { health: parseHealth(parseFields(fields["health"])) }),
    changedAtMs: parseNumber(fields["changedAtMs"]),
    message: parseText(fields["message"]),
    err: parseText(fields["err"]),
  };
}

function parsePhase(fields: Fields): Phase {
  const kind = parseText(fields["kind"]);
  switch (kind) {
    case "accepted":
    case "preparing":
    case "ready":
      return { kind };
    case "starting":
      return { kind, sinceMs: parseNumber(fields["sinceMs"]) };
    case "checking":
    case "running":
    case "draining":
    case "stopping":
      return { kind, ...parseLive(fields) };
    case "waiting":
      return {
        kind,
        untilMs: parseNumber(fields["untilMs"]),
        released: fields["released"] === true,
      };
    case "ending": {
      const outcome = parseOneOf(fields["outcome"], outcomes);
      return { kind, outcome, shown: parseTaskState(fields["shown"]) };
    }
    case "ended":
      return { kind, outcome: parseOneOf(fields["outcome"], outcomes) };
    default:
      throw damaged(`unknown phase "${kind}"`);
  }
}

/** Before there were health checks, a container was up since its start. */
function parseLive(fields: Fields): Live {
  const sinceMs = parseNumber(fields["sinceMs"]);
  return {
    sinceMs,
    upSinceMs: parseNumber(fields["upSinceMs"] ?? sinceMs),
    pid: parseNumber(fields["pid"]),
    fault: parseText(fields["fault"] ?? ""),
  };
}

function parseTaskState(value: unknown): TaskState {
  const number = parseNumber(value);
  const known = Object.values(TaskState).find((candidate) => candidate === number);
  if (known === undefined) throw damaged(`unknown task state ${number}`);
  return known;
}

function parseAttempt(fields: Fields): EndedAttempt {
  return {
    number: parseNumber(fields["number"]),
    startedAtMs: parseNumber(fields["startedAtMs"]),
    // Files of earlier versions do not have it.
    upAtMs: fields["upAtMs"] === undefined ? 0 : parseNumber(fields["upAtMs"]),
    endedAtMs: parseNumber(fields["endedAtMs"]),
    exitCode: parseNumber(fields["exitCode"]),
    oomKilled: fields["oomKilled"] === true,
    reason: parseText(fields["reason"]),
  };
}

function parseRestarts(fields: Fields): RestartHistory {
  const restartsAtMs = parseList(fields["restartsAtMs"]).map(parseNumber);
  const last = fields["lastDelayMs"];
  return last === undefined ? { restartsAtMs } : { restartsAtMs, lastDelayMs: parseNumber(last) };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Fault("data-loss", "the file of a task's state is not JSON", { cause: error });
  }
}
