/** Faults as gRPC's statuses, and back: their code crosses the wire, and their message. */
import { type Code, Fault } from "./fault.ts";

/** https://grpc.io/docs/guides/status-codes; not taken from grpc-js, which a short command need not load. */
const statusOfCode = {
  canceled: 1,
  "invalid-argument": 3,
  "deadline-exceeded": 4,
  "not-found": 5,
  "already-exists": 6,
  "permission-denied": 7,
  "resource-exhausted": 8,
  "failed-precondition": 9,
  conflict: 10, // ABORTED
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  "data-loss": 15,
  unauthenticated: 16,
} as const satisfies Record<Code, number>;

const codeOfStatus = new Map<number, Code>(
  Object.entries(statusOfCode).map(([code, grpcStatus]) => [grpcStatus, code as Code]),
);

/** Of a Fault's message on the wire, where a character takes up to nine bytes and headers at most 64 KiB together. */
const detailsLengthMax = 4096;

/** As a server ends a call with it. */
export function statusOf(fault: Fault): { readonly code: number; readonly details: string } {
  // It travels URI-encoded, and so must be valid UTF-16, in a header, whose length is limited.
  const details = fault.message.slice(0, detailsLengthMax).toWellFormed();
  return { code: statusOfCode[fault.code], details };
}

/** The Fault that a status tells of. */
export function faultOfStatus(code: number, details: string): Fault {
  return new Fault(codeOfStatus.get(code) ?? "internal", details || `the call ended with ${code}`);
}

/** What grpc-js says when a server vanished in the middle of a call; of our own aborts it says something else. */
const resetByPeer = "Call cancelled";

export function faultFromGrpc(thrown: unknown): Fault {
  if (!(thrown instanceof Error) || !("code" in thrown) || typeof thrown.code !== "number") {
    return Fault.from(thrown);
  }
  const code = codeOfStatus.get(thrown.code) ?? "internal";
  const details = "details" in thrown && typeof thrown.details === "string" ? thrown.details : "";
  const options = { cause: thrown };
  if (code === "canceled" && details === resetByPeer) {
    return new Fault("unavailable", "the other side ended the call", options);
  }
  // grpc-js goes on with what it waited for, in words of its own.
  const late = /^Deadline exceeded after ([0-9.]+)s/.exec(details)?.[1];
  if (late !== undefined) {
    const seconds = Number(Number(late).toFixed(1));
    return new Fault(code, `there was no answer within ${seconds} s`, options);
  }
  const refused =
    /^No connection established\. Last error: (?:(?:Error|Fault): )?(.*?)\. Resolution note: /;
  const words = refused.exec(details)?.[1] ?? details;
  return new Fault(code, words || thrown.message, options);
}
