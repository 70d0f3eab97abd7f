/**
 * Log drivers and their options, as Docker names them. Managers refuse with it what an agent could not do; agents read
 * their settings with it. Pure.
 */
import { Fault } from "./fault.ts";
import type { Driver } from "./gen/swarm/v1/types_pb.ts";
import { parseSizeBytes } from "./size.ts";

export const logDriverNames = ["local", "json-file", "syslog", "journald", "none"] as const;

type LogDriverName = (typeof logDriverNames)[number];

const syslogFormats = ["rfc3164", "rfc5424", "rfc5424micro"] as const;

type SyslogFormat = (typeof syslogFormats)[number];

export interface SyslogTarget {
  readonly address: SyslogAddress;
  readonly format: SyslogFormat;
  /** 0 to 23, as RFC 5424 counts. */
  readonly facility: number;
}

export type SyslogAddress =
  | { readonly transport: "tcp" | "udp"; readonly host: string; readonly port: number }
  | { readonly transport: "unix" | "unixgram"; readonly path: string };

export interface LogDriver {
  readonly name: LogDriverName;
  /** About so much a file holds before the next is begun, and how many there are. */
  readonly fileBytesMax: number;
  readonly files: number;
  /** A template, see agent/log/log-tag.ts. */
  readonly tag: string;
  /** Names of the container's labels and variables that go along with each line. */
  readonly labels: readonly string[];
  readonly env: readonly string[];
  readonly syslog?: SyslogTarget;
}

/** Docker's for "local". Its "json-file" has no limit, and fills disks. */
const fileBytesDefault = 20 * 1024 * 1024;
const filesDefault = 5;

/** Each new file costs a few system calls, however small it is. */
const fileBytesMin = 4096;
const filesMax = 1000;

const tagDefault = "{{.ID}}";

const ofFiles = ["max-size", "max-file", "compress"];
/** Where the driver's lines go elsewhere, this is about the copy that "service logs" reads. */
const ofCache = ["cache-max-size", "cache-max-file", "cache-compress"];
const ofDelivery = ["mode", "max-buffer-size"];
const ofDetails = ["labels", "env"];

const optionsOf: Readonly<Record<LogDriverName, readonly string[]>> = {
  local: [...ofFiles, ...ofDelivery, ...ofDetails],
  "json-file": [...ofFiles, ...ofDelivery, ...ofDetails, "tag"],
  syslog: [
    ...ofCache,
    ...ofDelivery,
    ...ofDetails,
    "tag",
    "syslog-address",
    "syslog-facility",
    "syslog-format",
  ],
  journald: [...ofCache, ...ofDelivery, "tag"],
  none: ofDelivery,
};

/** Nothing said: local. A Fault names the driver or option that there is not. */
export function parseLogDriver(driver: Pick<Driver, "name" | "options"> | undefined): LogDriver {
  const name = nameOf(driver?.name ?? "");
  const options = driver?.options ?? {};
  for (const option of Object.keys(options)) {
    if (optionsOf[name].includes(option)) continue;
    const known = optionsOf[name].join(", ");
    throw invalid(`log driver "${name}" has no option "${option}" here: there are ${known}`);
  }
  checkDelivery(options);
  const prefix = name === "local" || name === "json-file" ? "" : "cache-";
  const fileBytesMax = fileBytesOf(`${prefix}max-size`, options);
  const files = filesOf(`${prefix}max-file`, options);
  return {
    name,
    // One file would be empty after each rotation: it is two of half the size.
    ...(files === 1 ? { fileBytesMax: fileBytesMax / 2, files: 2 } : { fileBytesMax, files }),
    tag: options["tag"] ?? tagDefault,
    labels: listOf(options["labels"]),
    env: listOf(options["env"]),
    ...(name === "syslog" && { syslog: syslogOf(options) }),
  };
}

type Options = Readonly<Record<string, string>>;

function nameOf(name: string): LogDriverName {
  if (name === "") return "local";
  const known = logDriverNames.find((one) => one === name);
  if (known !== undefined) return known;
  throw invalid(`there is no log driver "${name}": use ${logDriverNames.join(", ")}`);
}

function fileBytesOf(option: string, options: Options): number {
  const text = options[option];
  if (text === undefined) return fileBytesDefault;
  const bytes = Number(text === "-1" ? 0 : sizeOf(option, text));
  if (bytes >= fileBytesMin) return bytes;
  throw invalid(`log option ${option} is "${text}": use ${fileBytesMin} bytes or more`);
}

function filesOf(option: string, options: Options): number {
  const text = options[option];
  if (text === undefined) return filesDefault;
  const files = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (files >= 1 && files <= filesMax) return files;
  throw invalid(`log option ${option} is "${text}": use a number from 1 to ${filesMax}`);
}

/** No container waits for who reads its log, in either mode: the disk is the buffer. */
function checkDelivery(options: Options): void {
  const { mode = "blocking" } = options;
  if (mode !== "blocking" && mode !== "non-blocking") {
    throw invalid(`log option mode is "${mode}": use blocking or non-blocking`);
  }
  const buffer = options["max-buffer-size"];
  if (buffer !== undefined) sizeOf("max-buffer-size", buffer);
  for (const option of ["compress", "cache-compress"]) {
    const value = options[option] ?? "false";
    if (value === "false") continue;
    throw invalid(`log option ${option} is "${value}": files are not compressed here, use false`);
  }
}

function sizeOf(option: string, text: string): bigint {
  try {
    return parseSizeBytes(text);
  } catch (thrown) {
    throw Fault.wrap(`log option ${option}`, thrown);
  }
}

function listOf(text: string | undefined): readonly string[] {
  return (text ?? "").split(",").filter((name) => name !== "");
}

const facilities =
  "kern user mail daemon auth syslog lpr news uucp cron authpriv ftp ntp security console solaris-cron local0 local1 local2 local3 local4 local5 local6 local7".split(
    " ",
  );

function syslogOf(options: Options): SyslogTarget {
  const { "syslog-format": formatText, "syslog-facility": facility = "daemon" } = options;
  const address = parseSyslogAddress(options["syslog-address"] ?? "unixgram:///dev/log");
  const format = syslogFormats.find((one) => one === (formatText || "rfc3164"));
  if (format === undefined) {
    const known = syslogFormats.join(", ");
    throw invalid(`log option syslog-format is "${formatText}": use one of ${known}`);
  }
  const number = /^\d{1,2}$/.test(facility) ? Number(facility) : facilities.indexOf(facility);
  if (number < 0 || number >= facilities.length) {
    throw invalid(
      `log option syslog-facility is "${facility}": use a name such as daemon, or 0-23`,
    );
  }
  return { address, format, facility: number };
}

/** `tcp://host[:port]`, `udp://host[:port]`, `unix:///path` or `unixgram:///path`. */
function parseSyslogAddress(text: string): SyslogAddress {
  const [, transport, rest = ""] = /^(tcp|udp|unix|unixgram):\/\/(.+)$/.exec(text) ?? [];
  if (transport === "unix" || transport === "unixgram") {
    if (rest.startsWith("/") && !rest.includes("\0")) return { transport, path: rest };
  }
  if (transport === "tcp" || transport === "udp") {
    const host = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/.exec(rest);
    const port = Number(host?.[3] ?? 514);
    if (host !== null && port > 0 && port < 65_536) {
      return { transport, host: host[1] ?? host[2] ?? "", port };
    }
  }
  throw invalid(
    `log option syslog-address is "${text}": use tcp://HOST[:PORT], udp://HOST[:PORT], unix:///PATH or unixgram:///PATH`,
  );
}

function invalid(message: string): Fault {
  return new Fault("invalid-argument", message);
}
