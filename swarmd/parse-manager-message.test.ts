import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { FromManager } from "#proto/manager-messages.ts";
import { parseManagerMessage } from "./parse-manager-message.ts";

const messages: readonly FromManager[] = [
  { kind: "ready" },
  { kind: "locked" },
  { kind: "removed" },
  { kind: "unlock-key", unlockKey: "" },
  { kind: "issued", clusterId: "c", certificate: "p", caCertificates: "r" },
];

test("manager message, each is read as it was written, without what is strange", () => {
  for (const message of messages) {
    assert.deepEqual(parseManagerMessage(JSON.stringify(message)), message);
    assert.deepEqual(parseManagerMessage(JSON.stringify({ ...message, more: 1 })), message);
  }
});

test("manager message, one that lacks a field is none", () => {
  for (const message of messages) {
    for (const key of Object.keys(message)) {
      const less = JSON.stringify({ ...message, [key]: undefined });
      assert.equal(parseManagerMessage(less), undefined, less);
    }
  }
});

test("manager message, any line is a message or none", () => {
  const property = fc.property(fc.oneof(fc.string(), fc.json()), (line) => {
    const message = parseManagerMessage(line);
    assert(message === undefined || messages.some(({ kind }) => kind === message.kind));
  });
  fc.assert(property);
});
