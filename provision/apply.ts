/**
 * Makes the hosts of a file the cluster that it says: looks at all of them, refuses where one lacks something, and does what is
 * left to do. Nothing is kept about it: run again, it goes on where it was broken off, or finds nothing to do.
 */
import { Fault } from "#proto/fault.ts";
import type { Clock } from "#proto/ports.ts";
import type { ClusterFile, FileHost } from "./cluster-file/cluster-file.ts";
import type { ManagerLink } from "./manager-link.ts";
import type { Packages } from "./package-file.ts";
import { Performer } from "./performer.ts";
import { planApply } from "./plan-apply.ts";
import { findProblems, type Problem } from "./problems.ts";
import type { Progress } from "./progress.ts";
import type { Remote } from "./remote.ts";
import { isEmpty, type Leaver, type Phase, type Plan } from "./steps.ts";
import { type Survey, survey } from "./survey.ts";

export interface ApplyPorts {
  readonly remoteOf: (host: FileHost) => Remote;
  readonly remoteAt: (leaver: Leaver) => Remote | undefined;
  /** The text of check-host. */
  readonly checkScript: string;
  readonly progress: Progress;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onWarnings: (problems: readonly Problem[], notes: readonly string[]) => void;
  /** Makes the packages that are to be installed, where they are not there yet. */
  readonly beforeInstall?: () => Promise<void>;
  /** Whether these hosts may lose what they have. */
  readonly confirm: (leavers: readonly Leaver[]) => Promise<boolean>;
  /** The cluster stands: what is to be asked of it before the way to it is closed. */
  readonly onDone: (link: ManagerLink) => Promise<void>;
}

export interface ApplyOptions {
  readonly packages: Packages;
  readonly dryRun: boolean;
  readonly skipUnreachable: boolean;
  readonly drainLimitMs: number;
  readonly keepData: boolean;
}

export type ApplyResult =
  | { readonly kind: "refused"; readonly problems: readonly Problem[] }
  | { readonly kind: "planned"; readonly plan: Plan }
  | { readonly kind: "declined" }
  | { readonly kind: "nothing" }
  | { readonly kind: "done"; readonly warnings: readonly string[] };

export async function apply(
  file: ClusterFile,
  options: ApplyOptions,
  ports: ApplyPorts,
): Promise<ApplyResult> {
  const before = await look(file, options, ports);
  if (before.problems.length > 0) return { kind: "refused", problems: before.problems };
  ports.onWarnings(before.warnings, [...file.warnings, ...before.plan.warnings]);
  if (options.dryRun) return { kind: "planned", plan: before.plan };
  const { leavers } = before.plan;
  if (leavers.length > 0 && !(await ports.confirm(leavers))) return { kind: "declined" };
  const [early, late] = split(before.plan);
  if (early.length === 0)
    return await perform({ ...before.plan, phases: late }, before, { file, options, ports });
  if (early.flat().some(({ kind }) => kind === "install")) await ports.beforeInstall?.();
  using performer = performerOf(before.survey, { file, options, ports });
  await performer.perform({ ...before.plan, phases: early });
  // Hosts that had no swarmd say now who they are.
  const after = await look(file, options, ports);
  if (after.problems.length > 0) return { kind: "refused", problems: after.problems };
  refuseOthers(after.plan, leavers);
  return await perform(after.plan, after, { file, options, ports });
}

interface Looked {
  readonly survey: Survey;
  readonly plan: Plan;
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

async function look(file: ClusterFile, options: ApplyOptions, ports: ApplyPorts): Promise<Looked> {
  const { progress, remoteOf, checkScript, clock } = ports;
  const onHost = (host: FileHost, what: string) => progress.part(host.name, what);
  const seen = await survey(file, { remoteOf, checkScript, clock, onHost });
  const { packages, skipUnreachable } = options;
  const { problems, warnings } = findProblems(file, { survey: seen, packages, skipUnreachable });
  const nothing: Plan = { phases: [], leavers: [], warnings: [] };
  const plan = problems.length > 0 ? nothing : planApply(file, seen, packages);
  return { survey: seen, plan, problems, warnings };
}

/** What makes hosts ready, and what makes them a cluster. */
function split({ phases }: Plan): readonly [Phase[], Phase[]] {
  const isEarly = (phase: Phase) => phase.some(({ kind }) => early.has(kind));
  return [phases.filter(isEarly), phases.filter((phase) => !isEarly(phase))];
}

const early: ReadonlySet<string> = new Set(["dependencies", "install", "start"]);

interface Given {
  readonly file: ClusterFile;
  readonly options: ApplyOptions;
  readonly ports: ApplyPorts;
}

async function perform(plan: Plan, { survey: seen }: Looked, given: Given): Promise<ApplyResult> {
  using performer = performerOf(seen, given);
  await performer.perform(plan);
  await given.ports.onDone(performer.link);
  if (isEmpty(plan)) return { kind: "nothing" };
  return { kind: "done", warnings: performer.warnings };
}

function performerOf(seen: Survey, { file, options, ports }: Given): Performer {
  const { drainLimitMs, keepData } = options;
  const remoteOf = (name: string) => {
    const host = file.hosts.find((one) => one.name === name);
    if (host === undefined) throw new Fault("internal", `The file names no host "${name}"`);
    return ports.remoteOf(host);
  };
  const { remoteAt, progress, clock, signal } = ports;
  return new Performer({
    file,
    survey: seen,
    remoteOf,
    remoteAt,
    progress,
    clock,
    signal,
    drainLimitMs,
    keepData,
  });
}

/** Nobody goes who was not named when it was asked. */
function refuseOthers(plan: Plan, confirmed: readonly Leaver[]): void {
  const known = new Set(confirmed.map(({ nodeId }) => nodeId));
  const others = plan.leavers.filter(({ nodeId }) => !known.has(nodeId));
  if (others.length === 0) return;
  const names = others.map(({ name }) => name).join(", ");
  const message = `The file does not name ${names} either, which was not known before: run the command again`;
  throw new Fault("failed-precondition", message);
}
