/**
 * The flags of a service's containers: what runs in them, as whom, and what they may have of their host. `create` has
 * lists as `--X`, `update` as `--X-add` and `--X-rm`; both end in one change of a container spec.
 */
import { create } from "@bufbuild/protobuf";
import type { Duration } from "@bufbuild/protobuf/wkt";
import { type Command, Option } from "commander";
import { Fault } from "#proto/fault.ts";
import { isAddress } from "#proto/ipv4.ts";
import { isAddress6 } from "#proto/ipv6.ts";
import type { ContainerSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  type Device,
  DnsConfigSchema,
  type Privileges,
  type Ulimit,
} from "#proto/gen/swarm/v1/types_pb.ts";
import {
  parseDevice,
  parseExtraHost,
  parseUlimit,
  withSecurityOpt,
} from "#stacks/host-access-words.ts";
import { parseShellWords } from "#stacks/shell-words.ts";
import {
  duration,
  flag,
  flags,
  integer,
  type Pair,
  pair,
  size,
  text,
  wholeNumber,
} from "../flags/parse-flag.ts";
import { changedList, changedMap } from "./changed-list.ts";

/** Lists by what both verbs call them; `update` adds to them and takes from them. */
interface ListValues {
  readonly containerLabel: Pair;
  readonly group: string;
  readonly host: string;
  readonly dns: string;
  readonly dnsOption: string;
  readonly dnsSearch: string;
  readonly sysctl: Pair;
  readonly ulimit: Ulimit;
  readonly device: Device;
}

type ListFlags = { readonly [K in Exclude<keyof ListValues, "host">]?: ListValues[K][] } & {
  readonly [K in keyof ListValues as `${K}Add`]?: ListValues[K][];
} & { readonly [K in keyof ListValues as `${K}Rm`]?: string[] };

export interface ContainerFlags extends ListFlags {
  readonly addHost?: string[];
  readonly hostname?: string;
  readonly workdir?: string;
  readonly user?: string;
  readonly entrypoint?: string[];
  readonly readOnly?: boolean;
  readonly init?: boolean;
  readonly tty?: boolean;
  readonly interactive?: boolean;
  readonly stopGracePeriod?: Duration;
  readonly stopDelay?: Duration;
  readonly stopSignal?: string;
  readonly capAdd?: string[];
  readonly capDrop?: string[];
  readonly privileged?: boolean;
  readonly securityOpt?: string[];
  readonly limitPids?: bigint;
  readonly oomScoreAdj?: bigint;
  readonly shmSize?: bigint;
  readonly pid?: string;
  readonly ipc?: string;
  readonly userns?: string;
  readonly cgroupParent?: string;
}

export function addContainerFlags(command: Command, verb: "create" | "update"): void {
  command.optionsGroup("Containers:");
  addProcessFlags(command);
  addHostFlags(command);
  if (verb === "create") addDockerHostFlag(command);
  const lists: readonly (readonly [string, string, string, (text: string) => unknown])[] = [
    ["container-label", "key=value", "label on the containers", pair],
    ["group", "group", "supplementary group of the user", text],
    ["host", "name:ip", "line of /etc/hosts", parseExtraHost],
    ["dns", "ip", "name server for what the cluster does not know", text],
    ["dns-option", "option", "option of the resolver", text],
    ["dns-search", "domain", "domain to look names up in", text],
    ["sysctl", "name=value", "kernel setting of the containers' namespaces", pair],
    ["ulimit", "name=soft[:hard]", "limit of a process; -1: none", parseUlimit],
    ["device", "path[:path[:rwm]]", "device of the host, or a folder of them", parseDevice],
  ];
  for (const [name, value, help, parse] of lists) {
    if (verb === "create") {
      // --host says which manager is asked, too: docker run's word says one thing only.
      const flagName = name === "host" ? "add-host" : name;
      command.option(`--${flagName} <${value}>`, `${help} (repeat)`, flags(parse));
    } else {
      command.option(`--${name}-add <${value}>`, `${help}: add (repeat)`, flags(parse));
      command.option(`--${name}-rm <${value}>`, `${help}: take out (repeat)`, flags(text));
    }
  }
}

/** Docker's --host of `service create` beside every command's: NAME:IP is a line of /etc/hosts, HOST[:PORT] a manager. */
function addDockerHostFlag(command: Command): void {
  const parse = (value: string) => {
    if (isExtraHost(value)) {
      const hosts = (command.getOptionValue("addHost") ?? []) as string[];
      command.setOptionValueWithSource("addHost", [...hosts, parseExtraHost(value)], "cli");
    } else command.parent?.setOptionValueWithSource("host", value, "cli");
    return value;
  };
  const help = "the same as --add-host; or a manager to talk to (env SWARM_HOST)";
  command.option("--host <name:ip|host[:port]>", help, parse);
}

function isExtraHost(value: string): boolean {
  if (isAddress6(value)) return false;
  const address = /^[^\s:=[\]]+[:=]\[?([^\]]+)\]?$/.exec(value)?.[1] ?? "";
  return isAddress(address) || isAddress6(address) || address === "host-gateway";
}

function addProcessFlags(command: Command): void {
  command
    .option("--hostname <name>", "the containers' hostname")
    .option("-w, --workdir <dir>", "working directory in the container")
    .option("-u, --user <user>", "name|uid[:group|gid]")
    .option("--entrypoint <command>", "replaces the image's entrypoint", flag(parseShellWords))
    .option("--init", "run a small init that reaps processes and passes signals on")
    .option("--no-init", "run the command as the first process")
    .option("-t, --tty", "give the command a terminal")
    .option("--no-tty", "give the command no terminal")
    .option("-i, --interactive", "keep the command's input open")
    .option("--no-interactive", "let the command's input be empty")
    .option("--read-only", "make the root file system read-only")
    .option("--no-read-only", "let the root file system be written")
    .option("--stop-grace-period <duration>", "until it is killed (default 10s)", flag(duration))
    .option("--stop-delay <duration>", "from DNS to the signal (default 200ms)", flag(duration))
    .option("--stop-signal <signal>", "signal that asks it to stop")
    .option("--limit-pids <n>", "processes at most; 0 (default): no limit", flag(wholeNumber))
    .option("--oom-score-adj <n>", "-1000 to 1000: whom the kernel kills first", flag(integer));
}

function addHostFlags(command: Command): void {
  command
    .option("--cap-add <capability>", "capability to give; ALL: all (repeat)", flags(text))
    .option("--cap-drop <capability>", "capability to take; ALL: all (repeat)", flags(text))
    .option("--privileged", "all capabilities, all devices, no confinement")
    .option("--no-privileged", "what containers usually may")
    .option(
      "--security-opt <option>",
      "seccomp=unconfined|FILE, apparmor=unconfined|NAME, no-new-privileges, label=… (repeat)",
      flags(text),
    )
    .option("--shm-size <size>", "of /dev/shm (default 64m)", flag(size))
    .option("--pid <mode>", "host: see the host's processes")
    .option("--ipc <mode>", "private (default), shareable, none or host")
    .option("--userns <mode>", "host, which is so anyway: users are not remapped")
    .option("--cgroup-parent <path>", "cgroup that the containers' are made in");
  const windows = new Option("--credential-spec <spec>").hideHelp();
  const isolation = new Option("--isolation <word>").hideHelp();
  command
    .addOption(windows.argParser(flag(refuseWindows)))
    // Of Docker's words the one that means nothing.
    .addOption(isolation.argParser(flag((word) => (word === "default" ? word : refuseWindows()))));
}

function refuseWindows(): never {
  throw new Fault("invalid-argument", "It is for containers of Windows, and hosts here run Linux");
}

/** What the flags make of a container spec. Options of security are to be read from their files before. */
export function changedContainer(before: ContainerSpec, given: ContainerFlags): ContainerSpec {
  return {
    ...before,
    ...changedProcess(given),
    ...changedLists(before, given),
    ...changedCapabilities(before, given),
    ...changedHostAccess(before, given),
  };
}

function changedProcess(given: ContainerFlags): Partial<ContainerSpec> {
  return defined({
    hostname: given.hostname,
    dir: given.workdir,
    user: given.user,
    command: given.entrypoint,
    readOnly: given.readOnly,
    init: given.init,
    tty: given.tty,
    openStdin: given.interactive,
    stopGracePeriod: given.stopGracePeriod,
    stopDelay: given.stopDelay,
    stopSignal: given.stopSignal,
    pidsLimit: given.limitPids,
    oomScoreAdj: given.oomScoreAdj,
  });
}

function changedLists(before: ContainerSpec, given: ContainerFlags): Partial<ContainerSpec> {
  const dns = before.dnsConfig ?? create(DnsConfigSchema);
  const nameservers = { add: given.dns ?? given.dnsAdd, rm: given.dnsRm };
  const options = { add: given.dnsOption ?? given.dnsOptionAdd, rm: given.dnsOptionRm };
  const search = { add: given.dnsSearch ?? given.dnsSearchAdd, rm: given.dnsSearchRm };
  const dnsConfig = {
    ...dns,
    nameservers: changedList(dns.nameservers, nameservers, text),
    options: changedList(dns.options, options, text),
    search: changedList(dns.search, search, text),
  };
  const groups = { add: given.group ?? given.groupAdd, rm: given.groupRm };
  const hosts = { add: given.addHost ?? given.hostAdd, rm: given.hostRm?.map(hostKey) };
  const ulimits = { add: given.ulimit ?? given.ulimitAdd, rm: given.ulimitRm };
  const devices = { add: given.device ?? given.deviceAdd, rm: given.deviceRm };
  const saysDns = [nameservers, options, search].some(({ add, rm }) => add ?? rm);
  return {
    labels: changedMap(
      before.labels,
      given.containerLabel ?? given.containerLabelAdd,
      given.containerLabelRm,
    ),
    sysctls: changedMap(before.sysctls, given.sysctl ?? given.sysctlAdd, given.sysctlRm),
    groups: changedList(before.groups, groups, text),
    hosts: changedHosts(before.hosts, hosts),
    ulimits: changedList(before.ulimits, ulimits, ({ name }) => name),
    devices: changedList(
      before.devices,
      devices,
      (device) => device.pathInContainer || device.pathOnHost,
    ),
    ...(saysDns && { dnsConfig }),
  };
}

/** `--host-rm` takes NAME as well as NAME:IP, as Docker's. */
function changedHosts(
  before: readonly string[],
  { add, rm = [] }: { add: readonly string[] | undefined; rm: readonly string[] | undefined },
): string[] {
  const isGone = (line: string) => rm.includes(line) || rm.includes(line.replace(/^\S+ /, ""));
  return changedList(
    before.filter((line) => !isGone(line)),
    { add },
    text,
  );
}

function hostKey(host: string): string {
  return /[:=]/.test(host) ? parseExtraHost(host) : host;
}

/** As Docker's: giving back what was taken only undoes that, and the other way round. */
function changedCapabilities(before: ContainerSpec, given: ContainerFlags): Partial<ContainerSpec> {
  const { capAdd = [], capDrop = [] } = given;
  const add = namesOf(before.capabilityAdd, capDrop);
  const drop = namesOf(before.capabilityDrop, capAdd);
  return {
    capabilityAdd: namesOf([...add, ...namesOf(capAdd, before.capabilityDrop)], []),
    capabilityDrop: namesOf([...drop, ...namesOf(capDrop, before.capabilityAdd)], []),
  };
}

/** The capabilities, each once, without those in `except`; as they were written. */
function namesOf(capabilities: readonly string[], except: readonly string[]): string[] {
  const keyOf = (name: string) => name.toUpperCase().replace(/^CAP_/, "");
  const unwanted = new Set(except.map(keyOf));
  const byKey = new Map(capabilities.map((name) => [keyOf(name), name]));
  return [...byKey].filter(([key]) => !unwanted.has(key)).map(([, name]) => name);
}

function changedHostAccess(before: ContainerSpec, given: ContainerFlags): Partial<ContainerSpec> {
  const { securityOpt = [] } = given;
  const privileges = securityOpt.reduce<Privileges | undefined>(withSecurityOpt, before.privileges);
  return defined({
    privileged: given.privileged,
    privileges,
    shmSizeBytes: given.shmSize,
    pidMode: given.pid,
    ipcMode: given.ipc,
    usernsMode: given.userns,
    cgroupParent: given.cgroupParent,
  });
}

/** Without what no flag speaks of. */
function defined<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
