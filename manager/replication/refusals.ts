/**
 * What managers answer to each other when they cannot do what was asked, in words that the asker recognises. Only a
 * Fault's code and message cross the wire.
 */
import { Fault } from "#proto/fault.ts";

const removedWords = "this manager was removed from the cluster's managers";
const leaderWords = /^this manager does not lead: ask the leader at (\S+)$/;

/** Certainly nothing was done. */
export function notLeading(leaderAddress: string | undefined): Fault {
  if (leaderAddress === undefined) {
    return new Fault("failed-precondition", "this manager does not lead and knows of no leader");
  }
  const message = `this manager does not lead: ask the leader at ${leaderAddress}`;
  return new Fault("failed-precondition", message);
}

export function isNotLeading(fault: Fault): boolean {
  return fault.code === "failed-precondition" && fault.message.startsWith("this manager does not");
}

/** Where the manager that refused believes the leader. */
export function leaderAddressOf(fault: Fault): string | undefined {
  return fault.code === "failed-precondition" ? leaderWords.exec(fault.message)?.[1] : undefined;
}

/** To a server that a committed membership has removed. */
export function removed(): Fault {
  return new Fault("failed-precondition", removedWords);
}

export function isRemoved(fault: Fault): boolean {
  return fault.code === "failed-precondition" && fault.message === removedWords;
}

export function otherGroup(): Fault {
  const message =
    "the message belongs to another life of the cluster: " +
    "it was restored, or forced to go on anew, without this manager; let it leave and join again";
  return new Fault("failed-precondition", message);
}

const undone: ReadonlySet<string> = new Set([
  "failed-precondition",
  "resource-exhausted",
  "permission-denied",
  "unauthenticated",
  "invalid-argument",
  "unimplemented",
]);

/** Whether the fault of a call to another manager says that the call certainly did nothing. */
export function isUndone(fault: Fault): boolean {
  return undone.has(fault.code);
}
