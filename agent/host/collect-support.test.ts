import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { Exec } from "#agent/exec.ts";
import { Fault } from "#proto/fault.ts";
import { checkHost } from "./check-host.ts";
import { collectSupport } from "./collect-support.ts";

const network = {
  state: undefined,
  status: () => ({
    convergences: 1,
    convergenceMs: 1,
    repairs: 0,
    drift: [],
    refusals: [],
    obstacles: ["chain input of table ip filter may drop\twhat nodes send: open UDP port 4789"],
  }),
};

/** Prints the same for every program but one, which is not there. */
function fakeExec(said: string): Exec {
  return {
    run: async (command, args) => {
      // What it says of a unit has the command lines of all that runs there.
      assert.ok(command !== "systemctl" || args[0] === "show");
      if (command === "ss") throw new Fault("not-found", 'cannot find "ss"');
      return { stdout: command === "sh" ? "check\troot\tok\t\t\n" : said, stderr: "" };
    },
    start: () => assert.fail(),
  };
}

async function collect(said: string, fileBytesMax: number) {
  const dataRoot = await mkdtemp(join(tmpdir(), "collect-support-"));
  try {
    await mkdir(join(dataRoot, "agent/tasks/some-task"), { recursive: true });
    const options = { dataRoot, engineAddress: "0.0.0.0:2378", fileBytesMax };
    const files = new Map<string, { text: string; note: string }>();
    for await (const message of collectSupport(options, { exec: fakeExec(said), network })) {
      const file = files.get(message.file) ?? { text: "", note: "" };
      file.text += Buffer.from(message.data).toString();
      file.note ||= message.note;
      files.set(message.file, file);
    }
    return files;
  } finally {
    await rm(dataRoot, { recursive: true });
  }
}

test("support, of a file that is too large the newest part is kept, and the rest is noted", async () => {
  const files = await collect(`first ${"x".repeat(700_000)} last`, 600_000);
  const rules = files.get("nftables.txt");
  assert.equal(rules?.text.length, 600_000);
  assert.match(rules.text, / last$/);
  assert.match(rules.note, /^the first 100011 of 700011 bytes are left out$/);
});

test("support, what cannot be had is noted, and the rest goes on", async () => {
  const files = await collect("fine\n", 0);
  assert.deepEqual(files.get("sockets.txt"), { text: "", note: 'cannot find "ss"' });
  assert.equal(files.get("routes.txt")?.text, "fine\n");
  assert.equal(files.get("tasks.txt")?.text, "some-task");
});

test("support, secrets in what programs print are taken out", async () => {
  const token = "SWMTKN-1-abc-def";
  const files = await collect(`joined with ${token}\npassword: hunter22\nmode: fast\n`, 0);
  const { text = "" } = files.get("kernel-log.txt") ?? {};
  assert.equal(text, "joined with [redacted]\npassword: [redacted]\nmode: fast\n");
});

test("check of a host, firewalls in the way are lines of its report", async () => {
  const options = { dataRoot: "/nowhere", engineAddress: "0.0.0.0:2378" };
  const report = await checkHost(options, { exec: fakeExec(""), network });
  assert.equal(
    report,
    "check\troot\tok\t\t\ncheck\tfirewall\twarning\tchain input of table ip filter may drop what nodes send\topen UDP port 4789\n",
  );
});
