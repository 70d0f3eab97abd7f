/**
 * Sends log lines to a syslog server. Streams and UDP go through sockets of this program; the datagram socket of the host
 * (/dev/log), which Node cannot speak to, through util-linux' `logger`, which gives each line the time at which it is sent.
 */
import { createSocket } from "node:dgram";
import { createConnection } from "node:net";
import type { Writable } from "node:stream";
import { Fault } from "#proto/fault.ts";
import type { SyslogAddress, SyslogTarget } from "#proto/log-driver.ts";
import type { Exec } from "../exec.ts";
import { pieceBytesMax } from "./docker-pieces.ts";
import type { LogLine } from "./k8s-file.ts";
import type { LogSink } from "./log-forwarder.ts";
import { priorityOf, syslogMessages } from "./syslog-message.ts";

export interface SyslogOptions extends SyslogTarget {
  readonly hostname: string;
  readonly tag: string;
}

export function openSyslog(options: SyslogOptions, modules: { readonly exec: Exec }): LogSink {
  const { address } = options;
  switch (address.transport) {
    case "udp":
      return new UdpSyslog(options, address);
    case "unixgram":
      return loggerOf(options, address.path, modules.exec);
    case "tcp": {
      const { host, port } = address;
      return new StreamSyslog(createConnection({ host, port }), (line) => framed(line, options));
    }
    case "unix":
      return new StreamSyslog(createConnection(address.path), (line) => framed(line, options));
  }
}

type Child = ReturnType<Exec["start"]>;

/** Over a stream each message ends with a line feed. */
function framed(line: LogLine, options: SyslogOptions): readonly Buffer[] {
  return syslogMessages(line, options).flatMap((message) => [message, Buffer.from("\n")]);
}

function loggerOf(options: SyslogOptions, path: string, exec: Exec): LogSink {
  const { tag, facility, format } = options;
  const form = format === "rfc3164" ? "--rfc3164" : "--rfc5424=notq";
  const size = `${pieceBytesMax}`;
  const args = [
    "--socket",
    path,
    "--socket-errors=on",
    "--prio-prefix",
    form,
    "--size",
    size,
    "--tag",
    tag,
  ];
  const child = exec.start("logger", args, { stdio: ["pipe", "ignore", "pipe"] });
  if (child.stdin === null) throw new Fault("internal", "logger has no input");
  // A line may begin with what looks like a priority: its own stands before it.
  const lineOf = (line: LogLine) => [
    Buffer.from(`<${priorityOf(line, facility)}>`),
    line.data,
    Buffer.from("\n"),
  ];
  return new StreamSyslog(child.stdin, lineOf, child);
}

/** Into a stream, at the pace of who reads it. */
class StreamSyslog implements LogSink {
  readonly position = 0;
  readonly #stream: Writable;
  readonly #bytesOf: (line: LogLine) => readonly Buffer[];
  readonly #child: Child | undefined;
  #fault: Fault | undefined;
  #isWriting = false;

  constructor(stream: Writable, bytesOf: (line: LogLine) => readonly Buffer[], child?: Child) {
    this.#stream = stream;
    this.#bytesOf = bytesOf;
    this.#child = child;
    const fail = (error: unknown) => {
      this.#fault ??= Fault.wrap("Cannot send to the syslog server", error);
    };
    stream.on("error", fail);
    stream.on("close", () => fail(new Fault("unavailable", "the connection was closed")));
    child?.on("error", (error) => stream.destroy(error));
    let said = "";
    child?.stderr?.on("data", (chunk: Buffer) => (said = (said + chunk.toString()).slice(-1000)));
    child?.on("exit", () => {
      if (!stream.writableEnded)
        stream.destroy(new Fault("unavailable", said.trim() || "logger ended"));
    });
  }

  async write(lines: readonly LogLine[]): Promise<void> {
    if (this.#fault !== undefined) throw this.#fault;
    const bytes = Buffer.concat(lines.flatMap(this.#bytesOf));
    const { promise: written, resolve, reject } = Promise.withResolvers<void>();
    this.#stream.write(bytes, (error) => {
      if (error === null || error === undefined) resolve();
      else reject(this.#fault ?? Fault.wrap("Cannot send to the syslog server", error));
    });
    this.#isWriting = true;
    await written;
    this.#isWriting = false;
  }

  /** What was taken is on its way; where something was not, nobody reads. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#fault === undefined && !this.#isWriting) {
      this.#stream.end();
    } else {
      this.#stream.destroy();
      this.#child?.kill();
    }
  }
}

class UdpSyslog implements LogSink {
  readonly position = 0;
  readonly #options: SyslogOptions;
  readonly #address: Extract<SyslogAddress, { readonly host: string }>;
  readonly #socket;

  constructor(options: SyslogOptions, address: Extract<SyslogAddress, { readonly host: string }>) {
    this.#options = options;
    this.#address = address;
    this.#socket = createSocket(address.host.includes(":") ? "udp6" : "udp4");
    // Those of a send reach the one who sends.
    this.#socket.on("error", () => {});
  }

  async write(lines: readonly LogLine[]): Promise<void> {
    const { host, port } = this.#address;
    for (const message of lines.flatMap((line) => syslogMessages(line, this.#options))) {
      const { promise: sent, resolve, reject } = Promise.withResolvers<void>();
      this.#socket.send(message, port, host, (error) =>
        error === null ? resolve() : reject(error),
      );
      await sent;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
  }
}
