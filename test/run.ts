/**
 * `npm test`: the checks, then every test, one file after another (most of them use the kernel, and there may be few
 * cores), then a look at whether the host is as it was. Tests in files named `.slow.test.ts` run only with `--all`, which is
 * `npm run test:all`. File names given as arguments select tests.
 */
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { leftBehind, takeSnapshot, unmountNamespaceRoot } from "./host-snapshot.ts";

const patterns = [
  "{proto,registry,manager,agent,swarmd,swarmctl,stacks,provision,package,bench,sim}/**/*.test.ts",
  "lab/**/*.test.ts",
  "test/**/*.test.ts",
];
const all = process.argv.includes("--all");
const chosen = process.argv.slice(2).filter((argument) => argument !== "--all");
const found = patterns.flatMap((pattern) => globSync(pattern).toSorted());
const wanted = all ? found : found.filter((file) => !file.endsWith(".slow.test.ts"));
const files = chosen.length > 0 ? chosen : wanted;
const timeoutMs = all ? 900_000 : 300_000;

function run(args: readonly string[]): boolean {
  return spawnSync(process.execPath, args, { stdio: "inherit" }).status === 0;
}

const before = takeSnapshot();
const checked = chosen.length > 0 || run(["test/check.ts"]);
const passed = run(["--test", "--test-concurrency=1", `--test-timeout=${timeoutMs}`, ...files]);
unmountNamespaceRoot(before);
const left = leftBehind(before, takeSnapshot());
for (const line of left) process.stdout.write(`left behind: ${line}\n`);
process.exit(checked && passed && left.length === 0 ? 0 : 1);
