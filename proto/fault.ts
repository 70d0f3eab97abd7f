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
    return faultOf(thrown, "");
  }

  /** The same fault seen from the action that it made fail: `Cannot pull image "x": registry returned 401`. */
  static wrap(action: string, thrown: unknown): Fault {
    const fault = faultOf(thrown, action);
    return new Fault(fault.code, `${action}: ${fault.message}`, { cause: thrown });
  }
}

/** As seen from the action, whose words are not said again. */
function faultOf(thrown: unknown, action: string): Fault {
  if (thrown instanceof Fault) return thrown;
  if (!(thrown instanceof Error)) {
    return new Fault("internal", typeof thrown === "string" ? thrown : inspect(thrown));
  }
  const known = systemErrors[errnoOf(thrown) ?? ""];
  if (known === undefined) {
    return new Fault(codeOf(thrown), thrown.message || thrown.name, { cause: thrown });
  }
  const [code, words] = known;
  const place = placeOf(thrown);
  const told = place === undefined || action.includes(`"${place}"`);
  return new Fault(code, told ? words : `${words} ("${place}")`, { cause: thrown });
}

/**
 * System errors that users meet, by errno name: what they count as, and in words. Node says them in C's words:
 * `ENOENT: no such file or directory, stat '/x'`.
 */
const systemErrors: Readonly<Record<string, readonly [Code, string]>> = {
  ENOENT: ["not-found", "no such file or folder"],
  EEXIST: ["already-exists", "it exists already"],
  EACCES: ["permission-denied", "no permission"],
  EPERM: ["permission-denied", "not permitted"],
  EISDIR: ["failed-precondition", "it is a folder, not a file"],
  ENOTDIR: ["failed-precondition", "it is not a folder"],
  ENOTEMPTY: ["failed-precondition", "the folder is not empty"],
  EROFS: ["failed-precondition", "the file system is read-only"],
  ENAMETOOLONG: ["invalid-argument", "the path is too long"],
  ENOSPC: ["resource-exhausted", "the disk is full"],
  EDQUOT: ["resource-exhausted", "the disk quota is used up"],
  EMFILE: ["resource-exhausted", "too many files are open"],
  ENFILE: ["resource-exhausted", "too many files are open on this host"],
  ECONNREFUSED: ["unavailable", "the connection was refused"],
  ECONNRESET: ["unavailable", "the connection was broken off"],
  EPIPE: ["unavailable", "the other side closed the connection"],
  EHOSTUNREACH: ["unavailable", "there is no way to the host"],
  ENETUNREACH: ["unavailable", "there is no way to the network"],
  ENOTFOUND: ["unavailable", "the host name is not known"],
  EAI_AGAIN: ["unavailable", "the host name cannot be looked up now"],
  EADDRINUSE: ["failed-precondition", "the address is in use already"],
  EADDRNOTAVAIL: ["failed-precondition", "the address is not one of this host"],
  ETIMEDOUT: ["deadline-exceeded", "there was no answer in time"],
};

function codeOf(error: Error): Code {
  if (error.name === "AbortError") return "canceled";
  if (error.name === "TimeoutError") return "deadline-exceeded";
  return "internal";
}

/** The file, host or address that a system error is about. */
function placeOf(error: Error): string | undefined {
  const { path, hostname, address, port } = error as NodeJS.ErrnoException & {
    readonly hostname?: unknown;
    readonly address?: unknown;
    readonly port?: unknown;
  };
  if (typeof path === "string") return path;
  if (typeof hostname === "string") return hostname;
  if (typeof address !== "string") return undefined;
  return typeof port === "number" && port >= 0 ? `${address}:${port}` : address;
}

/** The errno name ("ENOENT") of a system error, or undefined for anything else. */
export function errnoOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !("code" in thrown)) return undefined;
  return typeof thrown.code === "string" ? thrown.code : undefined;
}
