import assert from "node:assert/strict";
import { test } from "node:test";
import { formatMachineReport } from "./report.ts";

test("the machine's report has medians of ratios within rounds, and ends with one line of JSON", () => {
  const rounds = [
    { plainBits: 100, encryptedBits: 20, offloadedBits: 120 },
    { plainBits: 200, encryptedBits: 60, offloadedBits: 220 },
    { plainBits: 50, encryptedBits: 5, offloadedBits: 75 },
  ];
  const lines = formatMachineReport({ kernel: "6.1.0-1-amd64", rounds }).split("\n");
  assert.match(lines[1] ?? "", /^encrypted by the kernel +0\.20 +0\.20 0\.30 0\.10$/);
  assert.match(lines[2] ?? "", /^plain, with a flowtable +1\.20 +1\.20 1\.10 1\.50$/);
  const json =
    '{"bench":"network-vm","kernel":"6.1.0-1-amd64","encrypted_ratio":0.2,"flowtable_ratio":1.2}';
  assert.equal(lines.at(-2), json);
});
