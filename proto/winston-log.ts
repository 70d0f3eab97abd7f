/** The log of our programs: one line for each event on stderr, through winston. Made in main files only. */
import { fstatSync } from "node:fs";
import winston from "winston";
import type { Log, LogFields } from "./ports.ts";

type Level = "debug" | "info" | "warn" | "error";

export interface LogOptions {
  readonly level: Level;
  /** "line" is for people, "json" for collectors, "journal" for journald, which knows the time; default "line". */
  readonly format?: "line" | "json" | "journal";
}

/** The log of a program, whose level may change while it runs. */
export interface ProgramLog extends Log {
  setLevel(level: Level): void;
}

/** sd-daemon(3) */
const journalPrefixes: Readonly<Record<string, string>> = {
  error: "<3>",
  warn: "<4>",
  info: "<6>",
  debug: "<7>",
};

/** Whether what this process writes to stderr goes to journald: systemd.exec(5), JOURNAL_STREAM. */
export function writesToJournal(env: Readonly<Record<string, string | undefined>>): boolean {
  const { JOURNAL_STREAM: stream } = env;
  if (stream === undefined) return false;
  const { dev, ino } = fstatSync(2);
  return stream === `${dev}:${ino}`;
}

export function createLog({ level, format = "line" }: LogOptions): ProgramLog {
  // Nobody may read any more: what the log is of goes on all the same.
  process.stderr.on("error", () => {});
  const logger = winston.createLogger({
    level,
    format: formats[format](),
    transports: [
      new winston.transports.Console({ stderrLevels: Object.keys(winston.config.npm.levels) }),
    ],
  });
  return {
    ...logOver(logger, {}),
    setLevel: (next) => {
      logger.level = next;
    },
  };
}

function logOver(logger: winston.Logger, common: LogFields): Log {
  const at = (level: string) => (message: string, fields?: LogFields) => {
    logger.log({ ...common, ...fields, level, message });
  };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (fields) => logOver(logger, { ...common, ...fields }),
  };
}

const { combine, timestamp, json, printf } = winston.format;

const formats: Readonly<Record<NonNullable<LogOptions["format"]>, () => winston.Logform.Format>> = {
  json: () => combine(timestamp(), json({ replacer: jsonValue })),
  /** `2026-01-31T12:00:00.000Z info A node joined nodeId=… hostname=h2` */
  line: () => combine(timestamp(), printf(plainLine)),
  /** `<6>A node joined nodeId=… hostname=h2` */
  journal: () => printf(journalLine),
};

function plainLine({ timestamp: time, level, ...said }: winston.Logform.TransformableInfo): string {
  return `${String(time)} ${level} ${words(said)}`;
}

/** A line without a prefix would be of another level than the first. */
function journalLine({ level, ...said }: winston.Logform.TransformableInfo): string {
  const prefix = journalPrefixes[level] ?? "";
  return `${prefix}${words(said).replaceAll("\n", `\n${prefix}`)}`;
}

function words({ message, ...fields }: Readonly<Record<string, unknown>>): string {
  const pairs = Object.entries(fields).map(([key, value]) => ` ${key}=${text(value)}`);
  return `${String(message)}${pairs.join("")}`;
}

function text(value: unknown): string {
  const plain = typeof value === "string" ? value : JSON.stringify(value, jsonValue);
  return plain === undefined || /[\s"=]/.test(plain) ? JSON.stringify(plain ?? "") : plain;
}

/** JSON has no big integers, and nothing of an Error but its own fields. */
function jsonValue(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  return value instanceof Error ? value.message : value;
}
