import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { type Command, Option } from "commander";
import { checkHostPath } from "#proto/check-host.ts";
import { Fault } from "#proto/fault.ts";
import { apply, type ApplyResult } from "#provision/apply.ts";
import type { ClusterFile } from "#provision/cluster-file/cluster-file.ts";
import { ownPackage, packOwn } from "#provision/own-package.ts";
import { findPackages, type Packages } from "#provision/package-file.ts";
import type { Problem } from "#provision/problems.ts";
import { Progress } from "#provision/progress.ts";
import { describeStep, type Leaver, type Plan } from "#provision/steps.ts";
import { complain } from "../complain.ts";
import { confirm } from "../confirm.ts";
import type { Context } from "../context.ts";
import { durationMs, flag, text } from "../flags/parse-flag.ts";
import { liveLines } from "../output/live-lines.ts";
import { formatTable } from "../output/table.ts";
import { type ClusterHosts, openClusterHosts } from "./cluster-hosts.ts";
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
    .addOption(
      new Option(
        "--drain-timeout <duration>",
        "how long the tasks of hosts that are removed may take to run elsewhere",
      )
        .argParser(flag(durationMs))
        .default(drainLimitDefaultMs, "10m"),
    )
    .action(async (options: Options) => {
      await using hosts = await openClusterHosts(context, options.file);
      await using scope = new AsyncDisposableStack();
      const offer = await findOffer(hosts.file, options, scope);
      report(context, await applyFile(context, { hosts, options, offer }));
    });
}

interface Given {
  readonly hosts: ClusterHosts;
  readonly options: Options;
  readonly offer: Offer;
}

async function applyFile(context: Context, { hosts, options, offer }: Given): Promise<ApplyResult> {
  const { io } = context;
  const { file, remoteOf, remoteAt } = hosts;
  const wish = {
    packages: offer.packages,
    dryRun: options.dryRun ?? false,
    skipUnreachable: options.skipUnreachable ?? false,
    drainLimitMs: options.drainTimeout,
    keepData: options.keepData ?? false,
  };
  return await apply(file, wish, {
    remoteOf,
    remoteAt: ({ name, address }) => (address === undefined ? undefined : remoteAt(name, address)),
    checkScript: await readFile(checkHostPath(), "utf8"),
    progress: new Progress({
      names: file.hosts.map(({ name }) => name),
      isLive: io.stdout.isTTY ?? false,
      show: liveLines(io.stdout),
    }),
    clock: io.clock,
    signal: io.signal,
    ...(offer.prepare && { beforeInstall: offer.prepare }),
    onWarnings: (problems, notes) => {
      for (const note of notes) io.stderr.write(`Warning: ${note}\n`);
      if (problems.length > 0) io.stderr.write(`Warnings:\n${problemTable(problems)}`);
    },
    confirm: async (leavers) => options.yes ?? (await confirmRemoval(context, leavers, options)),
    onDone: (link) => saveClusterContext(context, file.cluster, link),
  });
}

/** What hosts may be given. */
interface Offer {
  readonly packages: Packages;
  /** Makes them. */
  readonly prepare?: () => Promise<void>;
}

/** What the command or the file names, else what this machine has itself. */
async function findOffer(
  { package: named }: ClusterFile,
  options: Options,
  scope: AsyncDisposableStack,
): Promise<Offer> {
  const path = options.package === undefined ? named : resolve(options.package);
  if (path !== undefined) return { packages: await findPackages(path) };
  const { arch } = process;
  if (arch !== "x64" && arch !== "arm64") return { packages: {} };
  const folder = await mkdtemp(join(tmpdir(), "swarm-package-"));
  scope.defer(() => rm(folder, { recursive: true }));
  const own = { installation: dirname(checkHostPath()), folder, arch } as const;
  const file = await ownPackage(own);
  if (file === undefined) return { packages: {} };
  return { packages: { [arch]: file }, prepare: () => packOwn(own, file) };
}

async function confirmRemoval(
  { io }: Context,
  leavers: readonly Leaver[],
  options: Options,
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
