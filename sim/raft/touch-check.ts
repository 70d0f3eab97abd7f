/** A leader that a majority has not answered for long knows it, and leads no more (§6.2). */
import type { Event } from "#manager/raft/contract.ts";
import type { Life } from "./life.ts";
import { electionMsMax } from "./profile.ts";
import { Violation } from "./violation.ts";

/** Twice what the core allows itself at most: its clock may be wrong. */
const silenceMsMax = 2 * electionMsMax;

/** After each event of a server. */
export function checkTouch(life: Life, event: Event, nowMs: number): void {
  const { core, id, contactMs } = life;
  const { role, term } = core.standing;
  if (event.kind === "message" && event.message.term === term) {
    const { kind, from } = event.message;
    if (kind === "append-reply" || kind === "snapshot-reply") contactMs.set(from, nowMs);
  }
  if (role !== "leader") life.attentiveSinceMs = nowMs;
  // It looks when it wakes.
  if (event.kind !== "wake" || nowMs - life.attentiveSinceMs < silenceMsMax) return;
  const voters = core.membership.members.filter(({ voter }) => voter);
  const heard = voters.filter((voter) => {
    const lastMs = voter.id === id ? nowMs : (contactMs.get(voter.id) ?? 0);
    return nowMs - lastMs < silenceMsMax;
  });
  if (2 * heard.length > voters.length) return;
  throw new Violation(
    "leaders are in touch",
    `server ${id} leads in term ${term}, and has heard of ${heard.length} of ${voters.length} voters for ${silenceMsMax} ms`,
  );
}
