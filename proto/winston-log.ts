/** The log of our programs: one line for each event on stderr, through winston. Made in main files only. */
import winston from "winston";
import type { Log, LogFields } from "./ports.ts";

export interface LogOptions {
  readonly level: "debug" | "info" | "warn" | "error";
  /** "line" is for people, "json" for collectors; default "line". */
  readonly format?: "line" | "json";
}

export function createLog({ level, format = "line" }: LogOptions): Log {
  // Nobody may read any more: what the log is of goes on all the same.
  process.stderr.on("error", () => {});
  const { combine, timestamp, json } = winston.format;
  const logger = winston.createLogger({
    level,
    format: combine(timestamp(), format === "json" ? json({ replacer: jsonValue }) : line()),
    transports: [
      new winston.transports.Console({ stderrLevels: Object.keys(winston.config.npm.levels) }),
    ],
  });
  return logOver(logger, {});
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

/** `2026-01-31T12:00:00.000Z info A node joined nodeId=… hostname=h2` */
function line(): winston.Logform.Format {
  return winston.format.printf(({ timestamp, level, message, ...fields }) => {
    const pairs = Object.entries(fields).map(([key, value]) => ` ${key}=${text(value)}`);
    return `${String(timestamp)} ${level} ${String(message)}${pairs.join("")}`;
  });
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
