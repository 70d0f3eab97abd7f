import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { LogStream } from "#proto/gen/swarm/v1/control_pb.ts";
import { LogAssembler, parsePiece } from "./k8s-file.ts";

const at = "2026-01-31T12:00:00.000000001+00:00";

function textsOf(chunks: readonly Buffer[], flush = true): string[] {
  const assembler = new LogAssembler();
  const lines = chunks.flatMap((chunk) => assembler.push(chunk));
  return [...lines, ...(flush ? assembler.flush() : [])].map(({ data }) => data.toString());
}

test("parsePiece, a line: time, stream and data", () => {
  const piece = parsePiece(Buffer.from(`${at} stderr F a b `));
  assert.equal(piece?.timestampNs, BigInt(Date.UTC(2026, 0, 31, 12)) * 1_000_000n + 1n);
  assert.equal(piece?.stream, LogStream.STDERR);
  assert.equal(piece?.data.toString(), "a b ");
});

test("parsePiece, another time zone: the same moment", () => {
  const piece = parsePiece(Buffer.from("2026-01-31T14:00:00.5+02:00 stdout F x"));
  assert.equal(piece?.timestampNs, BigInt(Date.UTC(2026, 0, 31, 12)) * 1_000_000n + 500_000_000n);
});

test("assembler, partial pieces: one line per stream, however they are mixed", () => {
  const log = `${at} stdout P a\n${at} stderr F x\n${at} stdout F b\n${at} stdout P rest\n`;
  assert.deepEqual(textsOf([Buffer.from(log)]), ["x", "ab", "rest"]);
});

test("assembler, lines in pieces: none has an earlier time than the line before it", () => {
  const assembler = new LogAssembler();
  const pieces = [
    "stdout P a",
    "stderr F x",
    "stderr P y",
    "stdout F b",
    "stdout P c",
    "stderr P z",
  ];
  const log = pieces.map((piece, second) => `2026-01-31T12:00:0${second}Z ${piece}\n`).join("");
  const lines = [...assembler.push(Buffer.from(log)), ...assembler.flush()];
  const seconds = lines.map(({ timestampNs }) => Number(timestampNs / 1_000_000_000n) % 60);
  assert.deepEqual(seconds, [1, 3, 4, 5]);
});

test("assembler, an empty line and foreign lines: kept and skipped", () => {
  const log = `${at} stdout F \nnonsense\n${at} stdout F\n${at} nowhere F x\n`;
  assert.deepEqual(textsOf([Buffer.from(log)]), ["", ""]);
});

test("assembler, a line that comes byte by byte beside a busy stream: no more memory than its text", () => {
  const assembler = new LogAssembler();
  const busy = `${at} stderr F ${"x".repeat(64 * 1024)}\n`;
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 4000; i++) assembler.push(Buffer.from(`${busy}${at} stdout P .\n`));
  assert.ok(process.memoryUsage().arrayBuffers - before < 128 * 1024 * 1024);
  assert.equal(assembler.flush()[0]?.data.length, 4000);
});

test("assembler, any chunks: the same lines", () => {
  const anyLine = fc.tuple(fc.constantFrom("stdout", "stderr"), fc.string());
  fc.assert(
    fc.property(fc.array(anyLine), fc.integer({ min: 1, max: 40 }), (lines, size) => {
      const wanted = lines.map(([, text]) => text.replaceAll("\n", " "));
      const log = Buffer.from(
        lines.map(([stream], index) => `${at} ${stream} F ${wanted[index]}\n`).join(""),
      );
      const chunks = Array.from({ length: Math.ceil(log.length / size) }, (_, index) =>
        log.subarray(index * size, (index + 1) * size),
      );
      assert.deepEqual(textsOf(chunks), wanted);
    }),
  );
});

test("assembler, any bytes: never fails", () => {
  const head = fc.constant(Buffer.from(`${at} stdout P `));
  const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array));
  fc.assert(fc.property(fc.array(fc.oneof(head, bytes)), (chunks) => void textsOf(chunks)));
});
