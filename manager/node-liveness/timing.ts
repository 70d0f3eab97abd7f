/**
 * How long silence may last, from the heartbeat period. The numbers belong together: a node whose manager is lost, or cut off
 * from the leader, must have found another before the leader takes it for down.
 *
 * Let P be the period. A manager reports every quarter of P. One that reaches no leader for 3 P + 2 s sends its agents
 * away, while a leader that does not hear a manager waits 3 P + (2 P + 3 s) for that manager's nodes: what is between the
 * two, 2 P + 1 s, is theirs to open a session elsewhere. A leader change takes a second, for which nobody is sent away.
 */

/** Heartbeats that may fail to come before a node is DOWN. */
const missedBeatsMax = 3;

/** How long a node may be silent. */
export function graceMs(periodMs: number): number {
  return missedBeatsMax * periodMs;
}

/**
 * What a node gets on top of its grace to find a new manager: an agent that beats into the void notices within two periods,
 * and the next manager that it tries may be dead too, which takes it some seconds more.
 */
export function reconnectMs(periodMs: number): number {
  return 2 * periodMs + 3_000;
}

/** How often a manager reports the beats that it took. */
export function reportPeriodMs(periodMs: number): number {
  return Math.min(Math.max(periodMs / 4, 100), 500);
}

/** A manager whose reports stayed away for so long is not heard. */
export function unheardMs(periodMs: number): number {
  return 4 * reportPeriodMs(periodMs);
}

/** How long a manager keeps its sessions without reaching a leader. */
export function cutOffMs(periodMs: number): number {
  return graceMs(periodMs) + 2_000;
}
