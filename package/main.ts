/**
 * `npm run package [-- --version V] [--arch x64|arm64] [--out DIR]`: packages for hosts, in dist/ or DIR. The same commit
 * gives the same bytes; SOURCE_DATE_EPOCH stands in where the sources are in no git repository.
 */
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Fault } from "#proto/fault.ts";
import { version } from "#proto/version.ts";
import { architectures } from "./architecture.ts";
import { writePackages } from "./packages.ts";
import { runProgram } from "./run-program.ts";

const repository = fileURLToPath(new URL("..", import.meta.url));

/** Of the last commit. */
async function epochOf(env: NodeJS.ProcessEnv): Promise<number> {
  const given = env["SOURCE_DATE_EPOCH"];
  const text = given ?? (await runProgram(["git", "-C", repository, "log", "-1", "--format=%ct"]));
  const epoch = Number(text.trim());
  if (text.trim() !== "" && Number.isSafeInteger(epoch) && epoch >= 0) return epoch;
  throw new Fault("invalid-argument", `SOURCE_DATE_EPOCH "${text}" is not a number of seconds`);
}

async function main(argv: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      version: { type: "string", default: version },
      arch: { type: "string", multiple: true, default: [...architectures] },
      out: { type: "string", default: join(repository, "dist") },
    },
  });
  const chosen = architectures.filter((name) => values.arch.includes(name));
  if (chosen.length < values.arch.length) {
    throw new Fault("invalid-argument", `--arch is one of ${architectures.join(", ")}`);
  }
  if (!/^\d+\.\d+\.\d+(-[0-9a-z]+(\.[0-9a-z]+)*)?$/.test(values.version)) {
    throw new Fault(
      "invalid-argument",
      `--version "${values.version}" is not like 1.2.3 or 1.2.3-rc.1`,
    );
  }
  await writePackages({
    version: values.version,
    architectures: chosen,
    folder: resolve(values.out),
    epoch: await epochOf(process.env),
    onFile: (path) => process.stdout.write(`${path}\n`),
  });
}

// Files have the modes that hosts need, whoever makes the packages.
process.umask(0o022);
try {
  await main(process.argv.slice(2));
} catch (thrown) {
  process.stderr.write(`package: ${Fault.from(thrown).message}\n`);
  process.exitCode = 1;
}
