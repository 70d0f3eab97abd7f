/** The log's thread: carries out one request after the other on the log file, and answers each. */
import { parentPort } from "node:worker_threads";
import { type Code, Fault } from "#proto/fault.ts";
import { LogFile } from "./log-file.ts";
import type { Answers, LogReply, LogRequest, RequestKind } from "./log-messages.ts";

/** SQLite's primary result codes (sqlite.org/rescode.html). */
const sqliteCode = { busy: 5, ioError: 10, corrupt: 11, full: 13, cantOpen: 14, notADatabase: 26 };

class LogWorker {
  #path = "";
  #file: LogFile | undefined;

  serve(request: LogRequest): LogReply {
    try {
      return { ok: true, answer: this.#perform(request) };
    } catch (thrown) {
      return { ok: false, ...describe(this.#path, request.kind, thrown) };
    }
  }

  #perform(request: LogRequest): Answers[RequestKind] {
    if (request.kind === "open") {
      this.#path = request.path;
      this.#file = LogFile.open(request.path);
      return { snapshotIndex: this.#file.snapshotIndex };
    }
    const file = this.#file;
    if (file === undefined) throw new Fault("internal", "the log file is not open");
    switch (request.kind) {
      case "read-snapshot":
        return file.readSnapshot(request.from);
      case "read-entries":
        return file.readEntries(request.after);
      case "append":
        return file.append(request.records);
      case "write-snapshot":
        return file.writeSnapshot(request.index, request.from, request.pieces);
      case "finish-snapshot":
        return file.finishSnapshot(request.index, request.pieceCount);
      case "drop-entries":
        return file.dropEntries();
      case "close":
        this.#file = undefined;
        return file[Symbol.dispose]();
    }
  }
}

interface Failure {
  readonly code: Code;
  readonly message: string;
  readonly fatal: boolean;
}

function describe(path: string, kind: RequestKind, thrown: unknown): Failure {
  if (thrown instanceof Fault) return { code: thrown.code, message: thrown.message, fatal: false };
  const { code, what } = ofSqlite(thrown);
  const verb = kind === "open" ? "open" : kind.startsWith("read") ? "read" : "write";
  const message = `Cannot ${verb} the log "${path}": ${what}`;
  // Of a full disk SQLite learns before it commits. Where anything else fails, the commit may yet be found on disk.
  return { code, message, fatal: code !== "resource-exhausted" };
}

function ofSqlite(thrown: unknown): { code: Code; what: string } {
  const said = thrown instanceof Error ? thrown.message : String(thrown);
  const errcode =
    thrown instanceof Error && "errcode" in thrown && typeof thrown.errcode === "number"
      ? thrown.errcode & 0xff
      : undefined;
  switch (errcode) {
    case sqliteCode.full:
      return { code: "resource-exhausted", what: "the disk is full; make room there" };
    case sqliteCode.busy:
      return {
        code: "failed-precondition",
        what: "another process has it open; stop that one first",
      };
    case sqliteCode.corrupt:
    case sqliteCode.notADatabase:
      return { code: "data-loss", what: `it is damaged (${said}); restore it from a backup` };
    case sqliteCode.cantOpen:
    case sqliteCode.ioError:
      return { code: "internal", what: `the file system refuses it (${said})` };
    default:
      return { code: Fault.from(thrown).code, what: said };
  }
}

const port = parentPort;
if (port === null) throw new Fault("internal", "the log's worker runs in a thread of its own");
const worker = new LogWorker();
port.on("message", (request: LogRequest) => {
  port.postMessage(worker.serve(request));
  if (request.kind === "close") port.close();
});
