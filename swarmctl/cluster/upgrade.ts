import { readFile, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { Command } from "commander";
import { checkHostPath } from "#proto/check-host.ts";
import { Fault } from "#proto/fault.ts";
import { checkPackage } from "#provision/check-package.ts";
import type { ClusterFile } from "#provision/cluster-file/cluster-file.ts";
import { parseClusterFile } from "#provision/cluster-file/parse-cluster-file.ts";
import { readHostNode } from "#provision/host-node.ts";
import { inParallel } from "#provision/in-parallel.ts";
import { findPackages, type PackageFile } from "#provision/package-file.ts";
import { planUpgrade, type UpgradePlan } from "#provision/plan-upgrade.ts";
import type { Remote } from "#provision/remote.ts";
import { SshRemotes } from "#provision/ssh/ssh-remotes.ts";
import { type Survey, survey } from "#provision/survey.ts";
import { upgrade } from "#provision/upgrade.ts";
import { complain } from "../complain.ts";
import { confirm } from "../confirm.ts";
import type { Context } from "../context.ts";
import { durationMs, flag, integer } from "../flags/parse-flag.ts";
import { formatTable } from "../output/table.ts";

const timeoutMsDefault = 300_000;

interface Options {
  readonly file: string;
  readonly package?: string;
  readonly parallel?: bigint;
  readonly allowDowngrade?: true;
  readonly dryRun?: true;
  readonly yes?: true;
  readonly timeout?: number;
}

export function define(command: Command, context: Context): void {
  command
    .requiredOption("-f, --file <path>", "the cluster's file, as for cluster apply")
    .option(
      "--package <path>",
      "the package, or a folder with one for each processor (default: the file's)",
    )
    .option(
      "--parallel <n>",
      "how many hosts without a manager at a time (default 1)",
      flag(atLeastOne),
    )
    .option("--allow-downgrade", "also to an older version: back to the one before")
    .option("--timeout <duration>", "how long one host may take (default 5m)", flag(durationMs))
    .option("--dry-run", "check everything, and only say what would be done")
    .option("-y, --yes", "do not ask")
    .action(async (options: Options) => {
      await using run = await UpgradeCommand.open(context, options);
      await run.perform();
    });
}

/** One invocation: its file, and a way to each host of it. */
class UpgradeCommand implements AsyncDisposable {
  readonly #context: Context;
  readonly #options: Options;
  readonly #file: ClusterFile;
  readonly #scope: SshRemotes;
  readonly #remotes: ReadonlyMap<string, Remote>;

  static async open(context: Context, options: Options): Promise<UpgradeCommand> {
    const { env, signal } = context.io;
    const path = resolve(options.file);
    const home = env["HOME"];
    const place = { file: options.file, folder: dirname(path), ...(home && { home }) };
    const text = await readFile(path, "utf8").catch((thrown: unknown) => {
      throw Fault.wrap("Cannot read the cluster's file", thrown);
    });
    const file = parseClusterFile(text, place);
    return new UpgradeCommand({ context, options, file }, await SshRemotes.open({ env, signal }));
  }

  private constructor(
    { context, options, file }: { context: Context; options: Options; file: ClusterFile },
    scope: SshRemotes,
  ) {
    this.#context = context;
    this.#options = options;
    this.#file = file;
    this.#scope = scope;
    this.#remotes = new Map(
      file.hosts.map(({ name, address, ssh }) => [
        name,
        scope.add(name, { address, settings: ssh }),
      ]),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
  }

  async perform(): Promise<void> {
    const { io } = this.#context;
    const { yes, dryRun, allowDowngrade = false, parallel = 1n } = this.#options;
    const packages = await findPackages(this.#packagePath());
    const files = Object.values(packages);
    await Promise.all(files.map(checkPackage));
    const sizes = await Promise.all(
      files.map(async ({ path }: PackageFile) => (await stat(path)).size),
    );
    const found = await this.#survey();
    const plan = planUpgrade(found, {
      packages,
      packageBytes: Math.max(...sizes),
      parallel: Number(parallel),
      allowDowngrade,
    });
    this.#refuseProblems(plan);
    for (const warning of [...this.#file.warnings, ...plan.warnings]) complain(io, warning);
    if (plan.steps.length === 0) {
      this.#context.print(`Every host has ${plan.version}: nothing to do.`);
      return;
    }
    this.#context.io.stdout.write(planText(plan));
    if (dryRun) return;
    const question = `${plan.steps.flat().length} hosts of the cluster "${this.#file.cluster}" get ${plan.version}.`;
    if (!yes && !(await confirm(io, question))) throw new Fault("canceled", "nothing was changed");
    await this.#upgrade(plan, found);
  }

  #packagePath(): string {
    const path = this.#options.package ?? this.#file.package;
    if (path !== undefined) return path;
    const message = "no package is named: give --package, or package: in the cluster's file";
    throw new Fault("invalid-argument", message);
  }

  async #survey(): Promise<Survey> {
    const checkScript = await readFile(checkHostPath(), "utf8");
    const { clock } = this.#context.io;
    return await survey(this.#file, {
      checkScript,
      clock,
      remoteOf: ({ name }) => this.#remote(name),
    });
  }

  #remote(name: string): Remote {
    const remote = this.#remotes.get(name);
    if (remote === undefined) throw new TypeError(`no host ${name}`);
    return remote;
  }

  #refuseProblems({ problems, version }: UpgradePlan): void {
    if (problems.length === 0) return;
    const rows = problems.map(({ host, text }) => [host || "-", text]);
    this.#context.io.stderr.write(formatTable(["HOST", "PROBLEM"], rows));
    const message = `Cannot upgrade to ${version}: see above; nothing was changed`;
    throw new Fault("failed-precondition", message);
  }

  async #upgrade(plan: UpgradePlan, { hosts }: Survey): Promise<void> {
    const { io } = this.#context;
    const { timeout = timeoutMsDefault, allowDowngrade = false } = this.#options;
    const managers = hosts.flatMap(({ host, node }) => (node?.isManager ? [host.name] : []));
    try {
      await upgrade(
        plan,
        { timeoutMs: timeout, force: allowDowngrade, signal: io.signal },
        {
          clock: io.clock,
          remoteOf: (name) => this.#remote(name),
          managers,
          nodeIds: new Set(hosts.flatMap(({ node }) => node?.nodeId ?? [])),
          onProgress: (host, what) => this.#context.print(`${host}: ${what}`),
        },
      );
    } catch (thrown) {
      await this.#explain(plan, hosts);
      throw Fault.wrap("The upgrade has stopped", thrown);
    }
    this.#context.print(`Every host has ${plan.version}.`);
  }

  /** Where it has stopped, how to go on, and how to go back. */
  async #explain(plan: UpgradePlan, hosts: Survey["hosts"]): Promise<void> {
    const { io } = this.#context;
    // Ctrl-C has closed the connections: then what was there before is all that is known.
    const versions = await inParallel(hosts, async ({ host, node }) => {
      const now = io.signal.aborted
        ? undefined
        : await readHostNode(this.#remote(host.name)).catch(() => undefined);
      const known = io.signal.aborted ? `${node?.version ?? "unknown"} before` : "no answer";
      return [host.name, now?.version ?? known];
    });
    const before = [...new Set(plan.steps.flat().map(({ from }) => from))].join(", ");
    const { file } = this.#options;
    const lines = [
      formatTable(["HOST", "VERSION"], versions).trimEnd(),
      "What works with what in between: see docs/upgrades.md. Containers run on. When the reason is dealt with,",
      `  go on:   swarmctl cluster upgrade -f ${file} --package ${this.#packagePath()}`,
      `  go back: swarmctl cluster upgrade -f ${file} --package PACKAGE-OF-${before} --allow-downgrade`,
    ];
    io.stderr.write(`${lines.join("\n")}\n`);
  }
}

function planText({ steps, done, version }: UpgradePlan): string {
  const rows = steps.map((targets, at) => [
    String(at + 1),
    targets.map(({ name }) => name).join(", "),
    targets.map(roleOf)[0] ?? "",
    [...new Set(targets.map(({ from }) => from))].join(", "),
    version,
  ]);
  const table = formatTable(["STEP", "HOSTS", "ROLE", "FROM", "TO"], rows);
  return done.length === 0 ? table : `${table}${done.join(", ")}: ${version} already\n`;
}

function roleOf({ isManager, isLeader }: { isManager: boolean; isLeader: boolean }): string {
  if (isLeader) return "leader";
  return isManager ? "manager" : "worker";
}

function atLeastOne(value: string): bigint {
  const number = integer(value);
  if (number >= 1n) return number;
  throw new Fault("invalid-argument", "write a whole number of 1 or more");
}
