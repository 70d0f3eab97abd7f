/**
 * `npm test`: the checks, then every test, one file after another (most of them use the kernel, and there may be few
 * cores), then a look at whether the host is as it was. Tests in files named `.slow.test.ts` run only with `--all`, which is
 * `npm run test:all`. Those on virtual machines take an hour and more: they run only with `--vm`, which is `npm run test:vm`,
 * but for their short form, which is chosen by its name and takes half an hour. File names given as arguments select tests.
 */
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { leftBehind, takeSnapshot, unmountNamespaceRoot } from "./host-snapshot.ts";

const patterns = [
  "{proto,registry,manager,agent,swarmd,swarmctl,stacks,provision,package,bundle,bench,sim}/**/*.test.ts",
  "lab/**/*.test.ts",
  "test/**/*.test.ts",
];
const modes = ["--all", "--vm"];
const all = process.argv.includes("--all");
const onMachines = process.argv.includes("--vm");
const chosen = process.argv.slice(2).filter((argument) => !modes.includes(argument));
const found = patterns.flatMap((pattern) => globSync(pattern).toSorted());
const isSlow = (file: string) => file.endsWith(".slow.test.ts");
const ofMachines = found.filter((file) => file.startsWith("test/vm/"));
const ofHost = found.filter((file) => !ofMachines.includes(file));
/** The life of a cluster has all of it. */
const shortForm = "test/vm/short.test.ts";
const ofLongForm = ofMachines.filter((file) => file !== shortForm);
const wanted = all ? ofHost : ofHost.filter((file) => !isSlow(file));
const files = chosen.length > 0 ? chosen : onMachines ? ofLongForm : wanted;
const isLong = onMachines || chosen.some((file) => ofMachines.includes(file));
/** Of a test, and of all tests of a file together. */
const timeoutMs = isLong ? 4 * 3_600_000 : all ? 900_000 : 300_000;

function run(args: readonly string[]): boolean {
  return spawnSync(process.execPath, args, { stdio: "inherit" }).status === 0;
}

const before = takeSnapshot();
const checked = chosen.length > 0 || onMachines || run(["test/check.ts"]);
const passed = run(["--test", "--test-concurrency=1", `--test-timeout=${timeoutMs}`, ...files]);
unmountNamespaceRoot(before);
const left = leftBehind(before, takeSnapshot());
for (const line of left) process.stdout.write(`left behind: ${line}\n`);
process.exit(checked && passed && left.length === 0 ? 0 : 1);
