/** What a run went through, counted: a simulation in which nothing goes wrong proves nothing. */
export const markNames = [
  // What goes wrong.
  "leaders lost",
  "managers lost",
  "proposals lost",
  "proposals without an answer",
  "hosts lost",
  "hosts cut off",
  "agents restarted",
  "containers crashed",
  "containers that cannot start",
  "images that cannot be had",
  // What users do.
  "services created",
  "services updated",
  "services scaled",
  "services rolled back",
  "services removed",
  "canaries promoted",
  "services rebalanced",
  "nodes drained",
  "nodes paused",
  "labels changed",
  // What the control plane does about it.
  "entries committed",
  "tasks made",
  "tasks replaced",
  "tasks restarted in place",
  "tasks that had to wait",
  "tasks preempted",
  "jobs' tasks completed",
  "canaries waited",
  "updates completed",
  "updates paused",
  "updates rolled back",
  "nodes declared down",
  "convergences",
] as const;

export type MarkName = (typeof markNames)[number];
