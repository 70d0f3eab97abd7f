/**
 * What is found about hosts: what each says of itself, and what shows only beside the others: clocks that are apart, two hosts
 * that take each other's place, versions that differ. Pure.
 */
import type { CheckResult, HostReport } from "#proto/host-report.ts";

/** Beside check-host's words: "wrong" is nothing that could be got, but must be changed. */
export type FindingResult = CheckResult | "wrong";

export interface Finding {
  readonly host: string;
  readonly check: string;
  readonly result: FindingResult;
  readonly detail: string;
  readonly how: string;
}

export interface HostAnswer {
  readonly host: string;
  readonly report: HostReport;
  /** How far its clock is ahead of ours. */
  readonly aheadMs: number;
  /** Of the swarmd that runs there. */
  readonly version: string;
}

/** Managers and agents wait longer than this; certificates, which are dated back by an hour, too. */
const apartMs = 2_000;

export function ofReport(host: string, { checks }: HostReport): readonly Finding[] {
  return checks.map(({ name, ...rest }) => ({ host, check: name, ...rest }));
}

export function acrossHosts(answers: readonly HostAnswer[]): readonly Finding[] {
  return [
    ...clocksApart(answers),
    ...shared(answers, "machine-id", {
      // Nothing here goes by it, but leases of addresses and journals do.
      result: "warning",
      of: ({ report }) => report.facts.machineId,
      how: "on all but one: rm /etc/machine-id, systemd-machine-id-setup, reboot",
    }),
    ...shared(answers, "hostname", {
      result: "wrong",
      of: ({ report }) => report.facts.hostname,
      how: "hostnamectl set-hostname NAME, then restart swarmd",
    }),
    ...versionsApart(answers),
    ...olderThanInstalled(answers),
  ];
}

/** Against the host in the middle: what one wrong clock says is compared with nobody's. */
function clocksApart(answers: readonly HostAnswer[]): readonly Finding[] {
  const sorted = answers.toSorted((one, other) => one.aheadMs - other.aheadMs);
  const middle = sorted[(sorted.length - 1) >> 1];
  if (middle === undefined) return [];
  return answers.flatMap(({ host, aheadMs }): Finding[] => {
    const apart = aheadMs - middle.aheadMs;
    if (Math.abs(apart) <= apartMs) return [];
    const way = apart > 0 ? "ahead of" : "behind";
    const detail = `it is ${amount(Math.abs(apart))} ${way} that of ${middle.host}`;
    const how = `synchronise ${host} and ${middle.host}: apt-get install systemd-timesyncd (or chrony), then timedatectl set-ntp true`;
    return [{ host, check: "clocks", result: "wrong", detail, how }];
  });
}

/** "3.2 s", "10 min 0 s", "2 h 5 min". */
export function amount(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function shared(
  answers: readonly HostAnswer[],
  check: string,
  {
    of,
    ...rest
  }: { readonly of: (answer: HostAnswer) => string } & Pick<Finding, "how" | "result">,
): readonly Finding[] {
  const groups = Map.groupBy(
    answers.filter((answer) => of(answer) !== ""),
    of,
  );
  return [...groups].flatMap(([value, group]) => {
    if (group.length < 2) return [];
    return group.map(({ host }, index): Finding => {
      const others = group.filter((_, at) => at !== index).map((other) => other.host);
      const detail = `"${value}" is also that of ${others.join(", ")}`;
      return { host, check, detail, ...rest };
    });
  });
}

/** An upgrade passes through this, and ends it. */
function versionsApart(answers: readonly HostAnswer[]): readonly Finding[] {
  const groups = Map.groupBy(answers, ({ version }) => version);
  const [most] = [...groups].toSorted(([, one], [, other]) => other.length - one.length);
  if (most === undefined) return [];
  const [usual, [first]] = most;
  return answers
    .filter(({ version }) => version !== usual)
    .map(({ host, version }) => ({
      host,
      check: "version",
      result: "warning",
      detail: `swarmd is ${version}; that of ${first?.host ?? "others"} is ${usual}`,
      how: "end the upgrade with swarmctl cluster upgrade",
    }));
}

function olderThanInstalled(answers: readonly HostAnswer[]): readonly Finding[] {
  return answers.flatMap(({ host, report, version }): Finding[] => {
    const { installedVersion } = report.facts;
    if (installedVersion === undefined || installedVersion === version) return [];
    const detail = `swarmd runs as ${version}, and ${installedVersion} is installed`;
    const how = "systemctl restart swarmd";
    return [{ host, check: "installed", result: "warning", detail, how }];
  });
}
