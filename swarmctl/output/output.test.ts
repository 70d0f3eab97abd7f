import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { formatSpan } from "./age.ts";
import { displayWidth, formatTable, shownOn, truncate, visible } from "./table.ts";

describe("formatTable", () => {
  it("aligns columns by what the terminal shows", () => {
    assert.equal(
      formatTable(
        ["A", "B"],
        [
          ["漢字", "x"],
          ["é", "y"],
          ["🚀", ""],
        ],
      ),
      "A      B\n漢字   x\né      y\n🚀\n",
    );
  });

  it("lets no cell break lines or steer the terminal", () => {
    assert.equal(formatTable(["A"], [["x\n\x1b[2Jy"]]), "A\nx [2Jy\n");
  });

  it("takes more rows than a call takes arguments", () => {
    const rows = Array.from({ length: 200_000 }, () => ["xy", "z"]);
    assert.ok(formatTable(["A", "B"], rows).startsWith("A    B\nxy   z\nxy   z\n"));
  });
});

describe("text of others", () => {
  it("neither breaks a line nor turns its writing around", () => {
    assert.equal(visible("a\x9b31mb\u202ec\u2028d"), "a 31mb c d");
  });

  it("is for programs as it is, and on a terminal lines and tabs without the rest", () => {
    assert.equal(shownOn({}, "a\t\x1b[31mb\n"), "a\t\x1b[31mb\n");
    assert.equal(shownOn({ isTTY: true }, "a\t\x1b[31mb\n"), "a\t [31mb\n");
  });
});

describe("truncate", () => {
  it("marks what it cuts and never exceeds the width", () => {
    assert.equal(truncate("abcdef", 6), "abcdef");
    assert.equal(truncate("abcdefg", 6), "abcde…");
    assert.ok(displayWidth(truncate("漢字漢字", 6)) <= 6);
  });
});

describe("formatSpan", () => {
  const minute = 60_000;
  const hour = 60 * minute;
  const day = 24 * hour;
  const spans: [number, string][] = [
    [0, "less than a second"],
    [1000, "1 second"],
    [59_999, "59 seconds"],
    [minute, "about a minute"],
    [3 * minute, "3 minutes"],
    [hour, "about an hour"],
    [47 * hour, "47 hours"],
    [3 * day, "3 days"],
    [20 * day, "2 weeks"],
    [90 * day, "3 months"],
    [800 * day, "2 years"],
  ];
  for (const [ms, words] of spans) it(words, () => assert.equal(formatSpan(ms), words));
});
