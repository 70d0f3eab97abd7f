/** Handing leadership over (§3.10): proposals wait, the target catches up, then it stands at once and unprotected against. */
import type { Core, Leader } from "./core.ts";
import { rest } from "./election.ts";
import type { Progress } from "./progress.ts";
import { becomeFollower } from "./roles.ts";
import type { ServerId } from "./contract.ts";

export function onTransfer(core: Core, to: ServerId | undefined): void {
  if (core.role.kind !== "leader") return;
  beginTransfer(core, core.role, to ?? bestTarget(core, core.role), false);
}

/** "step-down": this server cannot do its work. It hands over if it can, and neither leads nor stands for a while. */
export function onStepDown(core: Core): void {
  const { role } = core;
  rest(core);
  if (role.kind === "leader") {
    const to = bestTarget(core, role);
    if (to === undefined) becomeFollower(core, core.term, undefined);
    else beginTransfer(core, role, to, true);
  } else if (role.kind !== "follower") becomeFollower(core, core.term, undefined);
}

function beginTransfer(
  core: Core,
  leader: Leader,
  to: ServerId | undefined,
  resting: boolean,
): void {
  if (to === undefined || to === core.id || !core.log.membership.voters.includes(to)) return;
  if (leader.transfer?.to === to && leader.transfer.resting === resting) return;
  const untilMs = core.nowMs + core.electionMs;
  leader.transfer = { to, untilMs, resting, sentMs: undefined };
}

/** The voter that has most of the log, of those that were heard lately. */
export function bestTarget(core: Core, leader: Leader): ServerId | undefined {
  let best: Progress | undefined;
  for (const voter of core.log.membership.voters) {
    const progress = leader.progress.get(voter);
    if (progress === undefined || core.nowMs - progress.lastContactMs >= core.electionMs) continue;
    if (best === undefined || progress.matchIndex > best.matchIndex) best = progress;
  }
  return best?.id;
}

/** Given up after an election timeout: then this server leads on, or does not if it cannot. */
export function settleTransfer(core: Core, leader: Leader): void {
  const { transfer } = leader;
  if (transfer === undefined) return;
  const progress = leader.progress.get(transfer.to);
  const gone = !core.log.membership.voters.includes(transfer.to) || progress === undefined;
  if (gone || core.nowMs >= transfer.untilMs) {
    leader.transfer = undefined;
    if (transfer.resting) becomeFollower(core, core.term, undefined);
    return;
  }
  if (progress.matchIndex < core.log.lastIndex) return;
  const { sentMs } = transfer;
  if (sentMs !== undefined && core.nowMs - sentMs < core.options.heartbeatMs) return;
  transfer.sentMs = core.nowMs;
  core.send(transfer.to, { kind: "timeout-now" });
  if (transfer.resting) becomeFollower(core, core.term, undefined);
}
