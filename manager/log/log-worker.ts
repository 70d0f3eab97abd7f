/** The log's thread: carries out one request after the other on the log file, and answers each. */
import { parentPort } from "node:worker_threads";
import { Fault } from "#proto/fault.ts";
import { systemRandom } from "#proto/system-ports.ts";
import { damaged } from "./damage.ts";
import { isLocked } from "./data-key.ts";
import { LogFile } from "./log-file.ts";
import {
  type Answers,
  blocksOf,
  type LogReply,
  type LogRequest,
  type RequestKind,
} from "./log-messages.ts";

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
    if (request.kind === "create") {
      this.#path = request.path;
      this.#file = LogFile.create(request, systemRandom);
      return undefined;
    }
    if (request.kind === "open") {
      this.#path = request.path;
      this.#file = LogFile.open(request, systemRandom);
      return this.#file.head;
    }
    if (this.#file === undefined) {
      // What could not be opened is closed already.
      if (request.kind === "close") return undefined;
      throw new Fault("internal", "the log file is not open");
    }
    if (request.kind === "publish" || request.kind === "close") {
      const file = this.#file;
      this.#file = undefined;
      return request.kind === "publish" ? file.publish() : file[Symbol.dispose]();
    }
    return performOn(this.#file, request);
  }
}

type FileRequest = Exclude<LogRequest, { kind: "create" | "open" | "publish" | "close" }>;

function performOn(file: LogFile, request: FileRequest): Answers[FileRequest["kind"]] {
  switch (request.kind) {
    case "read-entries":
      return file.readEntries(request.after);
    case "persist":
      return file.persist(request.steps);
    case "begin-snapshot":
      return file.beginSnapshot();
    case "write-chunk":
      return file.writeChunk(request.snapshot, request.chunk, request.data);
    case "finish-snapshot":
      return file.finishSnapshot(request.snapshot, request.meta);
    case "abandon-snapshot":
      return file.abandonSnapshot(request.snapshot);
    case "drop-chunks":
      return file.dropChunks();
    case "read-chunk":
      return file.readChunk(request.index, request.chunk);
    case "drop-entries":
      return file.dropEntries(request.upTo);
    case "rekey":
      return file.rekey(request.keyEncryption);
    case "renew":
      return file.renew(request.life, request.membership);
  }
}

type Failure = Omit<Extract<LogReply, { ok: false }>, "ok">;

function describe(path: string, kind: RequestKind, thrown: unknown): Failure {
  if (thrown instanceof Fault) {
    return { code: thrown.code, message: thrown.message, locked: isLocked(thrown), fatal: false };
  }
  const known = ofSqlite(path, thrown);
  // While a file is opened, what SQLite stumbles over was put there by damage.
  if (known === undefined && kind === "open") return failure(damaged(path, said(thrown)), true);
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

const port = parentPort;
if (port === null) throw new Fault("internal", "the log's worker runs in a thread of its own");
const worker = new LogWorker();
port.on("message", (request: LogRequest) => {
  const reply = worker.serve(request);
  port.postMessage(reply, reply.ok ? blocksOf(reply.answer) : []);
});
