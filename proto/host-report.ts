/**
 * What `check-host` printed about a host: what it lacks, and what it is. The lines are described in package/check-host.sh.
 * What a shell or ssh adds around them is passed over; so are facts of later versions. A report is whole or it is refused.
 */
import { Fault } from "./fault.ts";

export type CheckResult = "ok" | "missing" | "warning";

export interface HostCheck {
  /** "program:nft", "kernel:vxlan", "port:2377/tcp", "disk:/usr", "clock", … */
  readonly name: string;
  readonly result: CheckResult;
  readonly detail: string;
  /** What to do about it; empty where nothing is. */
  readonly how: string;
}

export interface HostInterface {
  readonly name: string;
  /** With its length: "192.0.2.2/24". */
  readonly address: string;
}

export interface HostFacts {
  readonly arch: "x64" | "arm64" | "other";
  readonly kernel: string;
  readonly os: string;
  readonly osId: string;
  readonly hostname: string;
  /** Empty where the host has none. */
  readonly machineId: string;
  /** The host's clock when it was asked. */
  readonly epochMs: number;
  readonly cgroup: 1 | 2 | undefined;
  readonly cpus: number;
  readonly memoryBytes: number;
  /** Where the data root is or will be. */
  readonly diskFreeBytes: number;
  readonly interfaces: readonly HostInterface[];
  readonly defaultInterface: string | undefined;
  readonly installedVersion: string | undefined;
  /** systemd's word for swarmd.service: "active", "inactive", …; undefined without systemd. */
  readonly swarmdActive: string | undefined;
  readonly apt: boolean;
  readonly userId: number;
  /** Debian packages that have the programs which are not there. */
  readonly missingPackages: readonly string[];
}

export interface HostReport {
  readonly checks: readonly HostCheck[];
  readonly facts: HostFacts;
}

const results: readonly string[] = ["ok", "missing", "warning"] satisfies readonly CheckResult[];

export function parseHostReport(text: string): HostReport {
  const checks: HostCheck[] = [];
  const facts = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [kind, name = "", ...rest] = line.replace(/\r$/, "").split("\t").map(printable);
    if (name === "") continue;
    if (kind === "check") checks.push(parseCheck(name, rest));
    if (kind === "fact") facts.set(name, rest.join(" "));
  }
  return { checks, facts: parseFacts(facts) };
}

function parseCheck(name: string, [result = "", detail = "", how = ""]: readonly string[]) {
  if (isResult(result)) return { name, result, detail, how };
  throw broken(`check "${name}" is "${result}"`);
}

function isResult(text: string): text is CheckResult {
  return results.includes(text);
}

function parseFacts(facts: ReadonlyMap<string, string>): HostFacts {
  const textOf = (name: string): string => {
    const value = facts.get(name);
    // The last line is the last to be printed: without it the rest may be missing, too.
    if (value === undefined) throw broken(`it does not say "${name}"`);
    return value;
  };
  const optional = (name: string) => textOf(name) || undefined;
  const numberOf = (name: string): number => {
    const text = textOf(name);
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (Number.isSafeInteger(value)) return value;
    throw broken(`"${name}" is "${text}", which is no number`);
  };
  return {
    arch: parseArch(textOf("arch")),
    kernel: textOf("kernel"),
    os: textOf("os"),
    osId: textOf("os_id"),
    hostname: textOf("hostname"),
    machineId: textOf("machine_id"),
    epochMs: numberOf("epoch_ms"),
    cgroup: parseCgroup(textOf("cgroup")),
    cpus: numberOf("cpus"),
    memoryBytes: numberOf("memory_bytes"),
    diskFreeBytes: numberOf("disk_free_bytes"),
    interfaces: parseInterfaces(textOf("interfaces")),
    defaultInterface: optional("default_interface"),
    installedVersion: optional("installed_version"),
    swarmdActive: optional("swarmd_active"),
    apt: textOf("apt") === "yes",
    userId: numberOf("user_id"),
    missingPackages: textOf("missing_packages")
      .split(" ")
      .filter((name) => name !== ""),
  };
}

function parseArch(text: string): HostFacts["arch"] {
  return text === "x64" || text === "arm64" ? text : "other";
}

function parseCgroup(text: string): HostFacts["cgroup"] {
  if (text === "1") return 1;
  return text === "2" ? 2 : undefined;
}

function parseInterfaces(text: string): readonly HostInterface[] {
  const words = text.split(",").filter((word) => word !== "");
  return words.map((word) => {
    const [name = "", address] = word.split("=", 2);
    if (name !== "" && address !== undefined && address !== "") return { name, address };
    throw broken(`"interfaces" has "${word}", which is no NAME=ADDRESS/LENGTH`);
  });
}

/** Nothing that a host says about itself moves the cursor of who reads it. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, " ").trim();
}

function broken(what: string): Fault {
  return new Fault("data-loss", `The host's report is not whole: ${what}`);
}
