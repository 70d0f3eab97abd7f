import { readFile, stat } from "node:fs/promises";
import { resolve } from "node:path";
import { type Command, Option } from "commander";
import { checkHostPath } from "#proto/check-host.ts";
import { Fault } from "#proto/fault.ts";
import { checkPackage } from "#provision/check-package.ts";
import { readHostNode } from "#provision/host-node.ts";
import { inParallel } from "#provision/in-parallel.ts";
import { findPackages } from "#provision/package-file.ts";
import { planUpgrade, type UpgradePlan, type UpgradeWish } from "#provision/plan-upgrade.ts";
import { Progress } from "#provision/progress.ts";
import type { Remote } from "#provision/remote.ts";
import { shellWords } from "#provision/ssh/ssh-arguments.ts";
import { type Survey, survey } from "#provision/survey.ts";
import { upgrade } from "#provision/upgrade.ts";
import { complain } from "../complain.ts";
import { confirm } from "../confirm.ts";
import type { Context } from "../context.ts";
import { durationMs, flag, integer, text } from "../flags/parse-flag.ts";
import { liveLines } from "../output/live-lines.ts";
import { formatTable } from "../output/table.ts";
import { type ClusterHosts, openClusterHosts } from "./cluster-hosts.ts";

const timeoutDefaultMs = 5 * 60_000;

interface Options {
  readonly file: string;
  readonly package?: string;
  readonly parallel: number;
  readonly allowDowngrade?: true;
  readonly timeout: number;
  readonly dryRun?: true;
  readonly yes?: true;
}

export function define(command: Command, context: Context): void {
  command
    .requiredOption("-f, --file <file>", 'the cluster\'s file, "-" for standard input', text)
    .option(
      "--package <path>",
      "the package, or a folder with one for each architecture (default: what the file names)",
      text,
    )
    .option("--parallel <n>", "how many hosts without a manager at a time", flag(atLeastOne), 1)
    .option("--allow-downgrade", "also to an older version, back to the one before")
    .addOption(
      new Option("--timeout <duration>", "how long a host may take until it is back")
        .argParser(flag(durationMs))
        .default(timeoutDefaultMs, "5m"),
    )
    .option("--dry-run", "check everything, print what would be done, and change nothing")
    .option("-y, --yes", "do not ask")
    .action(async (options: Options) => {
      await using hosts = await openClusterHosts(context, options.file);
      await upgradeCluster({ context, hosts, options });
    });
}

interface Given {
  readonly context: Context;
  readonly hosts: ClusterHosts;
  readonly options: Options;
}

async function upgradeCluster(given: Given): Promise<void> {
  const { context, hosts, options } = given;
  const wish = await readWish(given);
  const found = await survey(hosts.file, {
    checkScript: await readFile(checkHostPath(), "utf8"),
    clock: context.io.clock,
    remoteOf: hosts.remoteOf,
  });
  const plan = planUpgrade(found, wish);
  refuseProblems(context, plan);
  for (const warning of [...hosts.file.warnings, ...plan.warnings]) complain(context.io, warning);
  const count = plan.steps.flat().length;
  if (count === 0) return context.print(`Every host has ${plan.version}: nothing to do.`);
  context.print(planText(plan));
  if (options.dryRun) return;
  const question = `${count === 1 ? "1 host" : `${count} hosts`} of "${hosts.file.cluster}" will have ${plan.version}; containers run on.`;
  if (!options.yes && !(await confirm(context.io, question))) {
    throw new Fault("canceled", "Nothing was changed");
  }
  await perform(given, { plan, found });
  context.print(`Every host has ${plan.version}.`);
}

function packagePath({ hosts, options }: Given): string {
  const path = options.package === undefined ? hosts.file.package : resolve(options.package);
  if (path !== undefined) return path;
  const message = 'No package is named: give --package, or "package:" in the cluster\'s file';
  throw new Fault("invalid-argument", message);
}

/** Every package is read to its end first. */
async function readWish(given: Given): Promise<UpgradeWish> {
  const packages = await findPackages(packagePath(given));
  const sizes = await Promise.all(
    Object.values(packages).map(async (file) => {
      await checkPackage(file);
      return (await stat(file.path)).size;
    }),
  );
  const { parallel, allowDowngrade = false } = given.options;
  return { packages, packageBytes: Math.max(...sizes), parallel, allowDowngrade };
}

function refuseProblems({ io }: Context, { problems, version }: UpgradePlan): void {
  if (problems.length === 0) return;
  const rows = problems.map(({ host, text: problem }) => [host || "-", problem]);
  io.stderr.write(formatTable(["HOST", "PROBLEM"], rows));
  const message = `Cannot upgrade to ${version}, see above; nothing was changed`;
  throw new Fault("failed-precondition", message);
}

interface Planned {
  readonly plan: UpgradePlan;
  readonly found: Survey;
}

async function perform(given: Given, { plan, found }: Planned): Promise<void> {
  const { context, hosts, options } = given;
  const { io } = context;
  const names = plan.steps.flat().map(({ name }) => name);
  const progress = new Progress({
    names,
    isLive: io.stdout.isTTY ?? false,
    show: liveLines(io.stdout),
  });
  const { timeout: timeoutMs, allowDowngrade: force = false } = options;
  const remotes = new Map(hosts.file.hosts.map((host) => [host.name, hosts.remoteOf(host)]));
  const ports = {
    clock: io.clock,
    remoteOf: (name: string) => known(remotes, name),
    managers: found.hosts.flatMap(({ host, node }) => (node?.isManager ? [host.name] : [])),
    nodeIds: new Set(found.hosts.flatMap(({ node }) => node?.nodeId ?? [])),
    onProgress: (host: string, what: string) => progress.tell(host, what),
  };
  try {
    await upgrade(plan, { timeoutMs, force, signal: io.signal }, ports);
  } catch (thrown) {
    await explain(given, { plan, found });
    throw Fault.wrap("The upgrade has stopped", thrown);
  }
}

function known(remotes: ReadonlyMap<string, Remote>, name: string): Remote {
  const remote = remotes.get(name);
  if (remote === undefined) throw new TypeError(`no host ${name}`);
  return remote;
}

/** Where it has stopped, how to go on, and how to go back. */
async function explain(given: Given, { plan, found }: Planned): Promise<void> {
  const { context, hosts, options } = given;
  const { io } = context;
  const rows = await inParallel(found.hosts, async ({ host, node }) => {
    // Ctrl-C has closed the connections.
    if (io.signal.aborted) return [host.name, `${node?.version} before`];
    const now = await readHostNode(hosts.remoteOf(host)).catch(() => undefined);
    return [host.name, now?.version ?? "no answer"];
  });
  const before = [...new Set(plan.steps.flat().map(({ from }) => from))].join(", ");
  const command = `swarmctl cluster upgrade -f ${shellWords([options.file])} --package`;
  const back = options.allowDowngrade ? "" : " --allow-downgrade";
  io.stderr.write(
    [
      formatTable(["HOST", "VERSION"], rows),
      "The versions work together, and containers run on. When the reason below is dealt with,\n",
      `  go on:    ${command} ${shellWords([packagePath(given)])}${options.allowDowngrade ? " --allow-downgrade" : ""}\n`,
      `  go back:  ${command} PACKAGE${back}   (the package of ${before})\n`,
    ].join(""),
  );
}

function planText({ steps, done, version }: UpgradePlan): string {
  const rows = steps.map((targets, at) => [
    `${at + 1}`,
    targets.map(({ name }) => name).join(", "),
    targets.map(roleOf)[0] ?? "",
    [...new Set(targets.map(({ from }) => from))].join(", "),
    version,
  ]);
  const table = formatTable(["STEP", "HOSTS", "ROLE", "FROM", "TO"], rows).trimEnd();
  return done.length === 0
    ? table
    : `${table}\nLeft out, with ${version} already: ${done.join(", ")}`;
}

function roleOf({ isManager, isLeader }: { isManager: boolean; isLeader: boolean }): string {
  if (isLeader) return "leader";
  return isManager ? "manager" : "worker";
}

function atLeastOne(value: string): number {
  const number = Number(integer(value));
  if (number >= 1) return number;
  throw new Fault("invalid-argument", "write a whole number of 1 or more");
}
