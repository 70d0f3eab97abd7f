import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { liveLines } from "./live-lines.ts";

/** What a terminal of this size is written. */
function drawn(
  size: { readonly columns: number; readonly rows: number },
  lines: readonly string[],
) {
  let written = "";
  const write = (text: string | Uint8Array) => {
    written += String(text);
  };
  liveLines({ isTTY: true, ...size, write })(lines);
  return written.replaceAll("\x1b[K", "").replaceAll("\x1b[J", "");
}

describe("lines that replace each other", () => {
  it("are cut to what the terminal can draw over", () => {
    assert.equal(drawn({ columns: 6, rows: 3 }, ["abcdefg", "b", "c"]), "abcd…\nb\n");
  });

  it("are whole where the terminal does not tell its size", () => {
    assert.equal(drawn({ columns: 0, rows: 0 }, ["abcdefg", "b"]), "abcdefg\nb\n");
  });
});
