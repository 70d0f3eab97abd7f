/**
 * `npm test`: the checks, then every test, one file after another (most of them use the kernel, and there may be few
 * cores), then a look at whether the host is as it was. File names given as arguments select tests.
 */
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { leftBehind, takeSnapshot, unmountNamespaceRoot } from "./host-snapshot.ts";

const patterns = [
  "{proto,manager,agent,swarmd,swarmctl,stacks,bench,sim}/**/*.test.ts",
  "lab/**/*.test.ts",
  "test/**/*.test.ts",
];
const chosen = process.argv.slice(2);
const files =
  chosen.length > 0 ? chosen : patterns.flatMap((pattern) => globSync(pattern).toSorted());

function run(args: readonly string[]): boolean {
  return spawnSync(process.execPath, args, { stdio: "inherit" }).status === 0;
}

const before = takeSnapshot();
const checked = chosen.length > 0 || run(["test/check.ts"]);
const passed = run(["--test", "--test-concurrency=1", "--test-timeout=300000", ...files]);
unmountNamespaceRoot(before);
const left = leftBehind(before, takeSnapshot());
for (const line of left) process.stdout.write(`left behind: ${line}\n`);
process.exit(checked && passed && left.length === 0 ? 0 : 1);
