import assert from "node:assert/strict";
import { test } from "node:test";
import { StreamReader, streamMessage } from "./stream.ts";

test("StreamReader cuts messages wherever the stream was cut", () => {
  const stream = Buffer.concat(
    [Buffer.from("abc"), Buffer.alloc(0), Buffer.from("d")].map(streamMessage),
  );
  for (let cut = 0; cut <= stream.length; cut += 1) {
    const reader = new StreamReader();
    const messages = [
      ...reader.push(stream.subarray(0, cut)),
      ...reader.push(stream.subarray(cut)),
    ];
    assert.deepEqual(messages.map(String), ["abc", "", "d"]);
  }
});
