/** Real files, sockets and `logger`; the log is written as conmon writes it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import * as fc from "fast-check";
import { Fault } from "#proto/fault.ts";
import { LogStream } from "#proto/gen/swarm/v1/control_pb.ts";
import { type LogDriver, parseLogDriver } from "#proto/log-driver.ts";
import { silentLog, systemClock } from "#proto/system-ports.ts";
import { until } from "#proto/testing/until.ts";
import { systemExec } from "../exec.ts";
import { JsonFile } from "./json-file.ts";
import type { LogLine } from "./k8s-file.ts";
import { logPath } from "./log-files.ts";
import { LogForwarder, type LogSink, parseProgress } from "./log-forwarder.ts";
import { openSyslog } from "./syslog.ts";
import { syslogMessages } from "./syslog-message.ts";

const timeout = 20_000;
const at = "2026-01-31T12:00:00.123456789+00:00";
const timestampNs = BigInt(Date.UTC(2026, 0, 31, 12)) * 1_000_000n + 123_456_789n;

class Ground implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "swarm-forward-"));
  readonly ended = new AbortController();

  write(...pieces: readonly string[]): void {
    appendFileSync(logPath(this.folder), pieces.map((piece) => `${at} ${piece}\n`).join(""));
  }

  forward(openSink: (position: number) => LogSink): LogForwarder {
    const options = { folder: this.folder, ended: this.ended.signal, openSink };
    return new LogForwarder(options, { clock: systemClock, log: silentLog });
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true });
  }
}

test("json-file, lines: as Docker writes them, on behind a restart with none lost and none twice", {
  timeout,
}, async () => {
  using ground = new Ground();
  const path = join(ground.folder, "x-json.log");
  const options = { path, fileBytesMax: 10_000, files: 2, attributes: { tag: "web" } };
  const read = () => (existsSync(path) ? readFileSync(path, "utf8") : "");
  ground.write("stdout F one", "stderr F two", "stdout P be");
  const first = ground.forward((position) => new JsonFile(options, position));
  await until(() => read().includes("two"));
  await first[Symbol.asyncDispose]();
  // Half a line that a killed program left.
  appendFileSync(path, '{"log":"thr');
  ground.write("stdout F gin", "stdout P end");
  ground.ended.abort();
  const second = ground.forward((position) => new JsonFile(options, position));
  await second.done;
  const object = (log: string, stream = "stdout") => ({
    log,
    stream,
    attrs: { tag: "web" },
    time: "2026-01-31T12:00:00.123456789Z",
  });
  assert.deepEqual(
    read()
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line)),
    [object("one\n"), object("two\n", "stderr"), object("begin\n"), object("end")],
  );
  // It is complete: another start adds nothing.
  await ground.forward(() => assert.fail("nothing is left to forward")).done;
});

test("json-file, files are begun anew at their size, and so many are kept", {
  timeout,
}, async () => {
  using ground = new Ground();
  const path = join(ground.folder, "x-json.log");
  const sink = new JsonFile({ path, fileBytesMax: 500, files: 2, attributes: {} }, 0);
  const line = (text: string): LogLine => ({
    timestampNs,
    stream: LogStream.STDOUT,
    data: Buffer.from(text),
    partial: false,
  });
  for (let i = 0; i < 20; i++) await sink.write([line(`line ${i}`)]);
  await sink[Symbol.asyncDispose]();
  const lines = [`${path}.1`, path].flatMap((file) =>
    readFileSync(file, "utf8").trim().split("\n"),
  );
  const texts = lines.map((text) => JSON.parse(text).log.trim());
  assert.deepEqual(
    texts,
    Array.from({ length: texts.length }, (_, i) => `line ${20 - texts.length + i}`),
  );
  assert.ok(readFileSync(path).length <= 500);
  assert.throws(() => readFileSync(`${path}.2`), { code: "ENOENT" });
});

const syslogOf = (options: Record<string, string>) => {
  const { syslog }: LogDriver = parseLogDriver({ name: "syslog", options });
  assert.ok(syslog);
  return { ...syslog, hostname: "h1", tag: "web.1" };
};

test("syslog, the two formats, severity by stream, long lines in pieces", () => {
  const data = Buffer.from("x");
  const line: LogLine = { timestampNs, stream: LogStream.STDERR, data, partial: false };
  const say = (format: string, given = line) =>
    syslogMessages(given, syslogOf({ "syslog-format": format })).map(String);
  assert.match(say("rfc3164")[0] ?? "", /^<27>Jan 31 \d\d:00:00 h1 web\.1: x$/);
  assert.deepEqual(say("rfc5424"), ["<27>1 2026-01-31T12:00:00Z h1 web.1 - web.1 - x"]);
  assert.match(say("rfc5424micro")[0] ?? "", /T12:00:00\.123456Z/);
  const long = { ...line, stream: LogStream.STDOUT, data: Buffer.alloc(40_000, "y") };
  const pieces = say("rfc5424", long);
  assert.equal(pieces.length, 3);
  assert.ok(pieces.every((piece) => piece.startsWith("<30>1 ")));
});

test("syslog over TCP, a server that goes away and comes back: nothing is lost", {
  timeout,
}, async () => {
  using ground = new Ground();
  const received: string[] = [];
  const listen = async (port: number) => {
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", (chunk) => received.push(chunk.toString()));
    });
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    return server;
  };
  const server = await listen(0);
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  const options = syslogOf({ "syslog-address": `tcp://127.0.0.1:${address.port}` });
  ground.write("stdout F one", "stderr F two");
  await using forwarder = ground.forward(() => openSyslog(options, { exec: systemExec }));
  await until(() => received.join("").includes("two\n"));
  ground.ended.abort();
  await forwarder.done;
  server.close();
  assert.equal(received.join("").trim().split("\n").length, 2);
  // Nobody listens: it is tried again until somebody does.
  using later = new Ground();
  later.write("stdout F three");
  later.ended.abort();
  const waiting = later.forward(() => openSyslog(options, { exec: systemExec }));
  await systemClock.sleep(100);
  const again = await listen(address.port);
  await waiting.done;
  await until(() => received.join("").includes("three\n"));
  again.close();
});

test("syslog over TCP, a server that does not read: this program lets go all the same", {
  timeout,
}, async () => {
  using ground = new Ground();
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.pause();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  const options = syslogOf({ "syslog-address": `tcp://127.0.0.1:${address.port}` });
  const connected = once(server, "connection");
  const text = "x".repeat(8000);
  for (let i = 0; i < 2000; i++) ground.write(`stdout F ${text}`);
  const forwarder = ground.forward(() => openSyslog(options, { exec: systemExec }));
  const [socket] = await connected;
  await forwarder[Symbol.asyncDispose]();
  socket.destroy();
  server.close();
});

test("syslog over UDP, one datagram for each line", { timeout }, async () => {
  using ground = new Ground();
  const socket = createSocket("udp4");
  const received: string[] = [];
  socket.on("message", (message) => received.push(message.toString()));
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const address = `udp://127.0.0.1:${socket.address().port}`;
  const options = syslogOf({ "syslog-address": address, "syslog-format": "rfc5424" });
  ground.write("stdout F one", "stdout F two");
  ground.ended.abort();
  await ground.forward(() => openSyslog(options, { exec: systemExec })).done;
  await until(() => received.length === 2);
  assert.match(received[1] ?? "", / web\.1 - web\.1 - two$/);
  socket.close();
});

/** Node has no datagram sockets of this kind. */
const receiver = `use Socket; socket(S,AF_UNIX,SOCK_DGRAM,0); bind(S,sockaddr_un($ARGV[0])) or die;
$| = 1; print "ready\\n"; while (defined recv(S,$b,100000,0)) { print "$b\\n"; }`;

test("syslog of the host, through its datagram socket", { timeout }, async () => {
  using ground = new Ground();
  const path = join(ground.folder, "socket");
  const child = spawn("perl", ["-e", receiver, path], { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
  await until(() => said.startsWith("ready"));
  const options = syslogOf({ "syslog-address": `unixgram://${path}` });
  ground.write("stdout F <1>one", "stderr F two");
  ground.ended.abort();
  await ground.forward(() => openSyslog(options, { exec: systemExec })).done;
  await until(() => said.includes("two"));
  child.kill();
  assert.match(said, /<30>\w{3} .* web\.1: <1>one\n.*<27>\w{3} .* web\.1: two\n/s);
});

test("forwarder, a sink that takes nothing: tried again with the same lines", {
  timeout,
}, async () => {
  using ground = new Ground();
  ground.write("stdout F one");
  ground.ended.abort();
  const taken: string[] = [];
  let tries = 0;
  const sink: LogSink = {
    position: 0,
    write: async (lines) => {
      tries += 1;
      if (tries === 1) throw new Fault("unavailable", "not now");
      taken.push(...lines.map(({ data }) => data.toString()));
    },
    [Symbol.asyncDispose]: async () => {},
  };
  await ground.forward(() => sink).done;
  assert.deepEqual(taken, ["one"]);
});

test("forwarder, any file of its progress: read, or taken for none", () => {
  fc.assert(fc.property(fc.string(), (text) => assert.equal(parseProgress(text), undefined)));
  const progress = { inode: 7, offset: 8, position: 9, complete: false };
  assert.deepEqual(parseProgress(JSON.stringify(progress)), progress);
});
