/** What is said of a request that failed, and whether the log may go on after it. */
import { Fault } from "#proto/fault.ts";
import { damaged } from "./damage.ts";
import { isLocked } from "./data-key.ts";
import type { LogReply, RequestKind } from "./log-messages.ts";

/** SQLite's primary result codes (sqlite.org/rescode.html). */
const sqliteCode = { busy: 5, ioError: 10, corrupt: 11, full: 13, cantOpen: 14, notADatabase: 26 };

type Failure = Omit<Extract<LogReply, { ok: false }>, "ok">;

export function describeFailure(path: string, kind: RequestKind, thrown: unknown): Failure {
  if (thrown instanceof Fault) {
    const { code, message } = thrown;
    // Damage that is found while the log is used is told like that found at the start: by an end of the process.
    return { code, message, locked: isLocked(thrown), fatal: code === "data-loss" };
  }
  const known = ofSqlite(path, thrown);
  // While a file is opened, what SQLite stumbles over without a name for it was put there by damage.
  if (known === undefined && kind === "open" && !isSystemError(thrown))
    return failure(damaged(path, said(thrown)), true);
  const fault = known ?? Fault.from(thrown);
  if (fault.code === "data-loss") return failure(fault, true);
  const verb = kind === "open" ? "open" : kind.startsWith("read") ? "read" : "write";
  // Of a full disk SQLite learns before it commits. Where anything else fails, the commit may yet be found on disk.
  const wrapped = Fault.wrap(`Cannot ${verb} the log "${path}"`, fault);
  return failure(wrapped, fault.code !== "resource-exhausted");
}

function failure({ code, message }: Fault, fatal: boolean): Failure {
  return { code, message, locked: false, fatal };
}

function isSystemError(thrown: unknown): boolean {
  return thrown instanceof Error && "syscall" in thrown;
}

function said(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** Undefined for what is not SQLite's, or has no name of its own. */
function ofSqlite(path: string, thrown: unknown): Fault | undefined {
  if (!(thrown instanceof Error && "errcode" in thrown && typeof thrown.errcode === "number")) {
    return undefined;
  }
  switch (thrown.errcode & 0xff) {
    case sqliteCode.full:
      return new Fault("resource-exhausted", "the disk is full; make room there");
    case sqliteCode.busy:
      return new Fault("failed-precondition", "another process has it open; stop that one first");
    case sqliteCode.corrupt:
    case sqliteCode.notADatabase:
      return damaged(path, said(thrown));
    case sqliteCode.cantOpen:
    case sqliteCode.ioError:
      return new Fault("internal", `the file system refuses it (${said(thrown)})`);
    default:
      return undefined;
  }
}
