/** Runs the programs that packages are made with: npm, tar, gzip, clang, dpkg-deb. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { Fault } from "#proto/fault.ts";

const execute = promisify(execFile);

/** Of a download, which is the slowest of them. */
const timeout = 600_000;

export interface ProgramOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** What it writes on stdout. */
export async function runProgram(
  argv: readonly string[],
  options: ProgramOptions = {},
): Promise<string> {
  const [program = "", ...args] = argv;
  const env = { ...process.env, ...options.env, LC_ALL: "C" };
  try {
    const { stdout } = await execute(program, args, { ...options, env, timeout });
    return stdout;
  } catch (thrown) {
    throw Fault.wrap(`Cannot run ${program}`, thrown);
  }
}
