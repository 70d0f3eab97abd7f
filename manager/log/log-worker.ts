/** The log's thread: carries out one request after the other on the log file, and answers each. */
import { parentPort } from "node:worker_threads";
import { Fault } from "#proto/fault.ts";
import { systemRandom } from "#proto/system-ports.ts";
import { describeFailure } from "./log-failure.ts";
import { LogFile } from "./log-file.ts";
import {
  type Answers,
  blocksOf,
  type LogReply,
  type LogRequest,
  type RequestKind,
} from "./log-messages.ts";

class LogWorker {
  #path = "";
  #file: LogFile | undefined;

  serve(request: LogRequest): LogReply {
    try {
      return { ok: true, answer: this.#perform(request) };
    } catch (thrown) {
      return { ok: false, ...describeFailure(this.#path, request.kind, thrown) };
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
    case "keep-snapshots":
      return file.keepSnapshots(request.count);
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

const port = parentPort;
if (port === null) throw new Fault("internal", "the log's worker runs in a thread of its own");
const worker = new LogWorker();
port.on("message", (request: LogRequest) => {
  const reply = worker.serve(request);
  port.postMessage(reply, reply.ok ? blocksOf(reply.answer) : []);
});
