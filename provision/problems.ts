/**
 * Why the hosts cannot become the cluster of the file: what each of them lacks, and what does not fit together. All of it is
 * found before anything is changed, so that a user mends it in one go. Pure.
 */
import type { HostCheck } from "#proto/host-report.ts";
import type { ClusterFile } from "./cluster-file/cluster-file.ts";
import { settingChanges } from "./cluster-file/options.ts";
import { type Packages, versionOf } from "./package-file.ts";
import { needsPackage } from "./plan-apply.ts";
import type { Survey, SurveyedHost } from "./survey.ts";
import { compareVersions } from "./version-order.ts";

export interface Problem {
  readonly host: string;
  readonly check: string;
  readonly detail: string;
  /** What to do. */
  readonly how: string;
}

export interface Findings {
  /** Any of these, and nothing is changed. */
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

export interface Given {
  readonly survey: Survey;
  readonly packages: Packages;
  /** Hosts that cannot be reached are left out instead of being a problem. */
  readonly skipUnreachable: boolean;
}

/** Certificates and logs of two hosts fit together no more: certificates are dated back by an hour, and people read logs. */
const clockApartMsMax = 5 * 60_000;

export function findProblems(file: ClusterFile, given: Given): Findings {
  const { survey, skipUnreachable } = given;
  const reached = survey.hosts.filter(({ fault }) => fault === undefined);
  const silent = survey.hosts.flatMap(unreachable);
  const problems = [
    ...(skipUnreachable ? [] : silent),
    ...reached.flatMap((host) => lacks(host, "missing")),
    ...reached.flatMap((host) => packageProblem(host, given)),
    ...sameHosts(reached),
    ...clocksApart(reached),
    ...clusterProblems(file, survey),
    ...(skipUnreachable ? hiddenCluster(survey) : []),
  ];
  const warnings = [
    ...(skipUnreachable ? silent : []),
    ...reached.flatMap((host) => lacks(host, "warning")),
    ...reached.flatMap((host) => newerPackage(host, given)),
  ];
  return { problems, warnings };
}

function unreachable({ host, fault }: SurveyedHost): Problem[] {
  if (fault === undefined) return [];
  return [{ host: host.name, check: "ssh", detail: fault.message, how: "" }];
}

/** What check-host found. What apt-get will bring is nothing that lacks. */
function lacks({ host, report }: SurveyedHost, result: HostCheck["result"]): Problem[] {
  const { checks = [], facts } = report ?? {};
  const comes = (check: HostCheck) =>
    facts?.apt && isProgram(check) && check.how.includes("apt-get");
  return checks
    .filter((check) => check.result === result && !comes(check))
    .map(({ name, detail, how }) => ({ host: host.name, check: name, detail, how }));
}

function isProgram({ name }: HostCheck): boolean {
  return name.startsWith("program:");
}

function packageProblem(surveyed: SurveyedHost, { packages, survey }: Given): Problem[] {
  const { host, report } = surveyed;
  const version = versionOf(packages);
  if (report === undefined || !needsPackage(surveyed, version)) return [];
  const problem = (detail: string, how: string): Problem[] => [
    { host: host.name, check: "package", detail, how },
  ];
  const { arch } = report.facts;
  if (arch === "other") return [];
  if (version === undefined) {
    return problem("swarm is not installed there", "name a package with --package FILE|FOLDER");
  }
  if (packages[arch] === undefined) {
    const other = Object.keys(packages).join(", ");
    return problem(
      `the host is ${arch}, the package is for ${other}`,
      `give a folder that also has swarm-${version}-linux-${arch}.tar.gz`,
    );
  }
  const running = clusterVersion(survey);
  if (running === undefined || compareVersions(version, running) >= 0) return [];
  return problem(
    `the package is ${version}, older than the cluster's ${running}`,
    "give a newer one",
  );
}

function newerPackage(surveyed: SurveyedHost, { packages }: Given): Problem[] {
  const { host, report, node } = surveyed;
  const version = versionOf(packages);
  const installed = report?.facts.installedVersion;
  if (version === undefined || installed === undefined || !node?.nodeId) return [];
  if (compareVersions(installed, version) >= 0) return [];
  const detail = `it runs ${installed}, the package is ${version}`;
  const how = 'apply does not upgrade nodes: run "swarmctl cluster upgrade"';
  return [{ host: host.name, check: "version", detail, how }];
}

/** The newest of its nodes'. */
function clusterVersion({ cluster }: Survey): string | undefined {
  const versions = (cluster?.nodes ?? []).flatMap(
    ({ description }) => description?.engine?.engineVersion || [],
  );
  return versions.toSorted(compareVersions).at(-1);
}

/** Two hosts that are one, or that were copied from one. */
function sameHosts(reached: readonly SurveyedHost[]): Problem[] {
  const twice = (check: string, keyOf: (host: SurveyedHost) => string | undefined, how: string) =>
    [...Map.groupBy(reached, (host) => keyOf(host) ?? "")]
      .filter(([key, hosts]) => key !== "" && hosts.length > 1)
      .flatMap(([key, [first, ...others]]) =>
        others.map(({ host }) => ({
          host: host.name,
          check,
          detail: `${key} is also that of ${first?.host.name}`,
          how,
        })),
      );
  const machines = twice(
    "machine-id",
    ({ report }) => report?.facts.machineId,
    "if they are copies of one: rm /etc/machine-id && systemd-machine-id-setup, and reboot",
  );
  const names = twice(
    "hostname",
    ({ report }) => report?.facts.hostname,
    "hostnamectl set-hostname NAME",
  );
  return [...machines, ...names];
}

/** Against the host in the middle: this machine's own clock may be the one that is wrong. */
function clocksApart(reached: readonly SurveyedHost[]): Problem[] {
  const clocks = reached
    .flatMap(({ host, clockAheadMs }) => (clockAheadMs === undefined ? [] : { host, clockAheadMs }))
    .toSorted((a, b) => a.clockAheadMs - b.clockAheadMs);
  const middle = clocks[Math.floor((clocks.length - 1) / 2)];
  if (middle === undefined) return [];
  return clocks.flatMap(({ host, clockAheadMs }) => {
    const ms = clockAheadMs - middle.clockAheadMs;
    if (Math.abs(ms) <= clockApartMsMax) return [];
    const minutes = Math.round(Math.abs(ms) / 60_000);
    const detail = `its clock is ${minutes} min ${ms > 0 ? "ahead of" : "behind"} that of ${middle.host.name}`;
    const how = "set it: apt-get install systemd-timesyncd, timedatectl set-ntp true";
    return { host: host.name, check: "clock", detail, how };
  });
}

function clusterProblems(file: ClusterFile, survey: Survey): Problem[] {
  const { cluster, clusterFault, hosts } = survey;
  const general = (check: string, detail: string, how: string): Problem => ({
    host: "cluster",
    check,
    detail,
    how,
  });
  if (cluster === undefined) {
    if (clusterFault === undefined) return [];
    const how = "start its managers; with a majority lost see docs/disaster.md";
    return [general("managers", clusterFault.message, how)];
  }
  const name = cluster.spec.annotations?.name ?? "";
  const isOther = name !== file.cluster && name !== unnamed;
  const foreign = hosts.filter(({ node }) => node?.clusterId && node.clusterId !== cluster.id);
  return [
    ...(isOther
      ? [
          general(
            "name",
            `the hosts' cluster is "${name}", the file's "${file.cluster}"`,
            "take the other file",
          ),
        ]
      : []),
    ...foreign.map(({ host }) => ({
      host: host.name,
      check: "cluster",
      detail: "it is in another cluster",
      how: `take it out there: swarmctl cluster leave --force`,
    })),
    ...settingChanges(file, cluster.spec).refused.map((key) =>
      general(
        key,
        "is chosen when a cluster begins and cannot be changed",
        "take it out of the file, or write what it was",
      ),
    ),
  ];
}

/** As `cluster init` names a cluster when nobody does. */
export const unnamed = "default";

/** None begins beside one that may be there: a manager that is not reached may belong to it. */
function hiddenCluster({ cluster, hosts }: Survey): Problem[] {
  const silent = hosts.filter(({ host, fault }) => host.isManager && fault !== undefined);
  if (cluster !== undefined || silent.length === 0) return [];
  const names = silent.map(({ host }) => host.name).join(", ");
  const detail = `no host says that there is a cluster yet, and ${names} cannot be asked`;
  const how = "start it, or take it out of the file if it never was a manager of this cluster";
  return [{ host: "cluster", check: "managers", detail, how }];
}
