/**
 * The one error that is thrown on purpose. A Fault says what failed and, where there is something to do, what to do;
 * a bug is an `assert` and stops the process. Codes are gRPC's, so that a Fault crosses the wire unchanged.
 */
import { inspect } from "node:util";

export const codes = [
  "invalid-argument",
  "not-found",
  "already-exists",
  "conflict", // the version that was read is not the newest any more
  "failed-precondition",
  "permission-denied",
  "unauthenticated",
  "resource-exhausted",
  "unavailable",
  "deadline-exceeded",
  "canceled",
  "unimplemented",
  "data-loss",
  "internal", // what nobody foresaw
] as const;

export type Code = (typeof codes)[number];

/** Whether the same call may succeed when it is simply made again. */
export const retryable = {
  "invalid-argument": false,
  "not-found": false,
  "already-exists": false,
  conflict: true,
  "failed-precondition": false,
  "permission-denied": false,
  unauthenticated: false,
  "resource-exhausted": true,
  unavailable: true,
  "deadline-exceeded": true,
  canceled: false,
  unimplemented: false,
  "data-loss": false,
  internal: false,
} as const satisfies Record<Code, boolean>;

export class Fault extends Error {
  override readonly name = "Fault";
  readonly code: Code;

  constructor(code: Code, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }

  get retryable(): boolean {
    return retryable[this.code];
  }

  /** Any thrown value as a Fault: itself, a system error by its errno, an abort, or "internal". */
  static from(thrown: unknown): Fault {
    if (thrown instanceof Fault) return thrown;
    if (thrown instanceof Error) {
      const message = thrown.message || thrown.name;
      return new Fault(codeOf(thrown), message, { cause: thrown });
    }
    return new Fault("internal", typeof thrown === "string" ? thrown : inspect(thrown));
  }

  /** The same fault seen from the action that it made fail: `Cannot pull image "x": registry returned 401`. */
  static wrap(action: string, thrown: unknown): Fault {
    const fault = Fault.from(thrown);
    return new Fault(fault.code, `${action}: ${fault.message}`, { cause: thrown });
  }
}

const codeOfErrno: Readonly<Record<string, Code>> = {
  ENOENT: "not-found",
  EEXIST: "already-exists",
  EACCES: "permission-denied",
  EPERM: "permission-denied",
  ENOSPC: "resource-exhausted",
  EDQUOT: "resource-exhausted",
  EMFILE: "resource-exhausted",
  ECONNREFUSED: "unavailable",
  ECONNRESET: "unavailable",
  EHOSTUNREACH: "unavailable",
  ENETUNREACH: "unavailable",
  EPIPE: "unavailable",
  ENOTFOUND: "unavailable",
  EAI_AGAIN: "unavailable",
  EADDRINUSE: "failed-precondition",
  ETIMEDOUT: "deadline-exceeded",
};

function codeOf(error: Error): Code {
  if (error.name === "AbortError") return "canceled";
  if (error.name === "TimeoutError") return "deadline-exceeded";
  const errno = errnoOf(error);
  return (errno === undefined ? undefined : codeOfErrno[errno]) ?? "internal";
}

/** The errno name ("ENOENT") of a system error, or undefined for anything else. */
export function errnoOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !("code" in thrown)) return undefined;
  return typeof thrown.code === "string" ? thrown.code : undefined;
}
