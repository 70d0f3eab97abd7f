/**
 * What a part needs from the outside world, as interfaces: time, randomness and a place for its log lines. Constructors
 * take them, so that tests can hand in their own; the real ones are made in the programs' main files.
 */
import type { Buffer } from "node:buffer";

export interface Clock {
  /** Wall-clock time in milliseconds since 1970. For timestamps that people read. */
  now(): number;
  /** Milliseconds that only grow. For durations. */
  monotonic(): number;
  /** Resolves after `ms`; rejects with the signal's reason when aborted first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `callback` once after `ms`, unless disposed first. Does not keep the process alive. */
  timer(ms: number, callback: () => void): Disposable;
}

export interface Random {
  bytes(count: number): Uint8Array | Buffer;
  /** An integer from 0 to `limit` − 1. */
  int(limit: number): number;
}

export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** The same log with these fields on every line. */
  child(fields: LogFields): Log;
}

/** The ports that nearly every part takes. */
export interface Ports {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}
