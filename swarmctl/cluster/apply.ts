import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { ApplyResult } from "#provision/apply.ts";
import type { ClusterFile, FileHost } from "#provision/cluster-file/cluster-file.ts";
import type { Packages } from "#provision/package-file.ts";
import type { Problem } from "#provision/problems.ts";
import type { Remote } from "#provision/remote.ts";
import type { SshRemotes } from "#provision/ssh/ssh-remotes.ts";
import { type Leaver, type Plan, describeStep } from "#provision/steps.ts";
import { complain } from "../complain.ts";
import { confirm } from "../confirm.ts";
import type { Context } from "../context.ts";
import { durationMs, flag, text } from "../flags/parse-flag.ts";
import { liveLines } from "../output/live-lines.ts";
import { formatTable } from "../output/table.ts";
import { readText } from "../read-file.ts";
import { saveClusterContext } from "./save-context.ts";

interface Options {
  readonly file: string;
  readonly package?: string;
  readonly dryRun?: true;
  readonly yes?: true;
  readonly skipUnreachable?: true;
  readonly keepData?: true;
  readonly drainTimeout: number;
}

const drainLimitDefaultMs = 10 * 60_000;

export function define(command: Command, context: Context): void {
  command
    .requiredOption("-f, --file <file>", 'the cluster\'s file, "-" for standard input', text)
    .option(
      "--package <path>",
      "the package for hosts that have none, or a folder with one for each architecture",
      text,
    )
    .option("--dry-run", "print what would be done, and change nothing")
    .option("-y, --yes", "do not ask before hosts are removed")
    .option("--skip-unreachable", "go on without hosts that cannot be reached")
    .option("--keep-data", "leave volumes, images and logs on hosts that are removed")
    .option(
      "--drain-timeout <duration>",
      "how long the tasks of hosts that are removed may take to run elsewhere (default 10m)",
      flag(durationMs),
      drainLimitDefaultMs,
    )
    .action(async (options: Options) => {
      const file = await readClusterFile(context, options.file);
      const { SshRemotes } = await import("#provision/ssh/ssh-remotes.ts");
      const { env, signal } = context.io;
      await using remotes = await SshRemotes.open({ env, signal });
      const result = await applyFile(context, { file, options, remotes });
      report(context, result);
    });
}

/** As its author says what is where. */
export async function readClusterFile(context: Context, path: string): Promise<ClusterFile> {
  const { parseClusterFile } = await import("#provision/cluster-file/parse-cluster-file.ts");
  const isStdin = path === "-";
  const home = context.io.env["HOME"];
  return parseClusterFile(await readText(context.io, path), {
    file: isStdin ? "standard input" : path,
    folder: isStdin ? process.cwd() : dirname(resolve(path)),
    ...(home !== undefined && { home }),
  });
}

/** What runs on hosts before anything of ours is there. */
export async function readCheckScript(): Promise<string> {
  return await readFile(fileURLToPath(import.meta.resolve("#package/check-host.sh")), "utf8");
}

interface Given {
  readonly file: ClusterFile;
  readonly options: Options;
  readonly remotes: SshRemotes;
}

async function applyFile(
  context: Context,
  { file, options, remotes }: Given,
): Promise<ApplyResult> {
  const { apply } = await import("#provision/apply.ts");
  const { Progress } = await import("#provision/progress.ts");
  const { io } = context;
  const known = new Map<string, Remote>();
  const remoteOf = ({ name, address, ssh: settings }: FileHost): Remote => {
    const remote = known.get(name) ?? remotes.add(name, { address, settings });
    known.set(name, remote);
    return remote;
  };
  return await apply(
    file,
    {
      packages: await packagesOf(file, options),
      dryRun: options.dryRun ?? false,
      skipUnreachable: options.skipUnreachable ?? false,
      drainLimitMs: options.drainTimeout,
      keepData: options.keepData ?? false,
    },
    {
      remoteOf,
      remoteAt: ({ name, address }) =>
        address === undefined ? undefined : remotes.add(name, { address, settings: file.ssh }),
      checkScript: await readCheckScript(),
      progress: new Progress({
        names: file.hosts.map(({ name }) => name),
        isLive: io.stdout.isTTY ?? false,
        show: liveLines(io.stdout),
      }),
      clock: io.clock,
      signal: io.signal,
      onWarnings: (problems, notes) => {
        for (const note of notes) io.stderr.write(`Warning: ${note}\n`);
        if (problems.length > 0) io.stderr.write(`Warnings:\n${problemTable(problems)}`);
      },
      confirm: async (leavers) =>
        options.yes ?? (await confirmRemoval(context, { leavers, options })),
      onDone: (link) => saveClusterContext(context, file.cluster, link),
    },
  );
}

async function packagesOf(file: ClusterFile, options: Options): Promise<Packages> {
  const path = options.package === undefined ? file.package : resolve(options.package);
  if (path === undefined) return {};
  const { findPackages } = await import("#provision/package-file.ts");
  return await findPackages(path);
}

async function confirmRemoval(
  { io }: Context,
  { leavers, options }: { readonly leavers: readonly Leaver[]; readonly options: Options },
): Promise<boolean> {
  const names = leavers.map(({ name, address }) =>
    address === undefined || address === name ? name : `${name} (${address})`,
  );
  const loss = options.keepData
    ? "The data that they hold stays there."
    : "Their volumes, images and logs are deleted.";
  return await confirm(
    io,
    `The file does not name these nodes of the cluster, which are drained, removed and cleaned:\n  ${names.join("\n  ")}\n${loss}`,
  );
}

function report(context: Context, result: ApplyResult): void {
  switch (result.kind) {
    case "refused":
      context.print(problemTable(result.problems).trimEnd());
      throw new Fault(
        "failed-precondition",
        `${result.problems.length === 1 ? "1 check fails" : `${result.problems.length} checks fail`}; nothing was changed in the cluster`,
      );
    case "planned":
      return printPlan(context, result.plan);
    case "declined":
      throw new Fault("canceled", "Nothing was changed");
    case "nothing":
      return context.print("Nothing to do.");
    case "done":
      for (const warning of result.warnings) complain(context.io, warning);
      context.print("The cluster is as the file says.");
  }
}

function problemTable(problems: readonly Problem[]): string {
  const rows = problems.map(({ host, check, detail, how }) => [host, check, detail, how]);
  return formatTable(["HOST", "CHECK", "DETAIL", "HOW"], rows);
}

function printPlan(context: Context, { phases }: Plan): void {
  if (phases.length === 0) return context.print("Nothing to do.");
  const rows = phases.flatMap((phase, index) =>
    phase.map((step) => [`${index + 1}`, step.on, describeStep(step)]),
  );
  context.print(formatTable(["STEP", "HOST", "WHAT"], rows).trimEnd());
}
