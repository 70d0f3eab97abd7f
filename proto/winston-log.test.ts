import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { writesToJournal } from "./winston-log.ts";

const module = fileURLToPath(import.meta.resolve("./winston-log.ts"));

/** What a program that runs these lines writes to its stderr. */
function logged(lines: string): string {
  const script = `import { createLog } from ${JSON.stringify(module)};\n${lines}`;
  const args = ["--input-type=module", "--eval", script];
  return spawnSync(process.execPath, args, { encoding: "utf8" }).stderr;
}

test("log, for the journal: a level before each line, and no time", () => {
  const said = logged(`
    const log = createLog({ level: "debug", format: "journal" });
    log.error("it broke\\nin two", { error: "a b" });
    log.warn("careful");
    log.info("well");
    log.debug("fine", { count: 1 });
  `);
  const lines = ["<3>it broke", '<3>in two error="a b"', "<4>careful", "<6>well"];
  assert.deepEqual(said.split("\n"), [...lines, "<7>fine count=1", ""]);
});

test("log, its level changes while the program runs, for children too", () => {
  const said = logged(`
    const log = createLog({ level: "info" });
    const child = log.child({ part: "x" });
    child.debug("one");
    log.setLevel("debug");
    child.debug("two");
    log.setLevel("error");
    child.warn("three");
  `);
  assert.match(said, /^\S+Z debug two part=x\n$/);
});

test("log, the journal is where the variable says that stderr goes", () => {
  assert.equal(writesToJournal({}), false);
  assert.equal(writesToJournal({ JOURNAL_STREAM: "1:1" }), false);
});
