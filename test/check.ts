/** `npm run check`: everything that can be said of the code without running it. */
import { spawnSync } from "node:child_process";

const steps: readonly { readonly what: string; readonly command: readonly string[] }[] = [
  { what: "wire contracts", command: ["buf", "lint"] },
  { what: "released contracts", command: ["buf", "breaking", "--against", "test/contracts"] },
  { what: "format", command: ["biome", "format", "."] },
  { what: "types", command: ["tsc", "--project", "."] },
  { what: "lint", command: ["oxlint", "--type-aware", "--deny-warnings"] },
  { what: "reference", command: ["node", "test/reference.ts", "--check"] },
  { what: "tidiness", command: ["node", "--test", "--test-reporter=dot", "test/tidy.test.ts"] },
];

for (const { what, command } of steps) {
  const startedAt = performance.now();
  const [program = "", ...args] = command;
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8" });
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  if (status !== 0) {
    process.stdout.write(`${what}: failed (${command.join(" ")})\n${stdout}${stderr}`);
    process.exit(1);
  }
  process.stdout.write(`${what}: ok (${seconds} s)\n`);
}
