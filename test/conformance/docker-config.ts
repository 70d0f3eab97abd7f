/** What the Docker CLI of the peers' root makes of a stack file. It asks no daemon for that. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { ensurePeerRoot } from "#bench/peer/root.ts";
import { type ComposeCase, environment } from "./compose-cases.ts";

const run = promisify(execFile);

/** Where the files of a case are said to be. */
export const caseFolder = "/stacks/case";

/** The files of a case that are named with -c. */
export function composeFiles({ files }: ComposeCase): string[] {
  return Object.keys(files).filter((file) => /^(?:stack|over.*)\.yml$/.test(file));
}

/** What it says when it refuses a file begins so. */
export const refused = "refused: ";

/** The printed files by the names of their cases, with the folder's own name in place of where it really was. */
export async function askDocker(
  cases: Readonly<Record<string, ComposeCase>>,
): Promise<Record<string, string>> {
  const docker = join(await ensurePeerRoot(), "usr/bin/docker");
  const work = await mkdtemp(join(tmpdir(), "swarm-conformance-"));
  try {
    const answers: Record<string, string> = {};
    for (const [name, one] of Object.entries(cases)) {
      const folder = join(work, "stacks", "case");
      await mkdir(folder, { recursive: true });
      for (const [file, text] of Object.entries(one.files))
        await writeFile(join(folder, file), text);
      const named = composeFiles(one).flatMap((file) => ["-c", file]);
      const argv = ["stack", "config", ...named, ...(one.raw ? ["--skip-interpolation"] : [])];
      const answer = await run(docker, argv, {
        cwd: folder,
        env: { ...environment, DOCKER_CONFIG: work },
      }).then(({ stdout }) => stdout, refusalOf);
      answers[name] = answer.replaceAll(`${work}/`, "/");
      await rm(folder, { recursive: true });
    }
    return answers;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

function refusalOf(thrown: unknown): string {
  if (!(thrown instanceof Error) || !("stderr" in thrown)) throw thrown;
  return `${refused}${String(thrown.stderr)}`;
}
