import assert from "node:assert/strict";
import { test } from "node:test";
import { Progress } from "./progress.ts";

function progress(isLive: boolean) {
  const shown: (readonly string[])[] = [];
  const names = ["h1", "long"];
  return { shown, it: new Progress({ names, isLive, show: (lines) => shown.push(lines) }) };
}

test("progress, on a terminal all hosts are shown, and parts of steps", () => {
  const { shown, it } = progress(true);
  it.tell("h1", "installing");
  it.part("h1", "copying (50 %)");
  it.part("h1", "copying (50 %)");
  assert.deepEqual(shown, [
    ["h1    installing", "long"],
    ["h1    copying (50 %)", "long"],
  ]);
});

test("progress, elsewhere each step is a line, and parts are none", () => {
  const { shown, it } = progress(false);
  it.tell("long", "joining");
  it.part("long", "copying (50 %)");
  it.tell("long", "joined");
  assert.deepEqual(shown, [["long  joining"], ["long  joined"]]);
});
