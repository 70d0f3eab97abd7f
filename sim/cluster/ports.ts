/** Time, chance and log lines of the simulated world. */
import type { Clock, Log, Ports, Random } from "#proto/ports.ts";
import type { Agenda } from "../agenda.ts";
import type { SeededRandom } from "../random.ts";
import type { Trace } from "../trace.ts";

/** So that no moment is 0, which timestamps may take for none. */
const epochMs = Date.UTC(2030, 0, 1);

export function simulatedClock(agenda: Agenda): Clock {
  const timer = (ms: number, callback: () => void): Disposable => {
    let over = false;
    agenda.after(Math.max(ms, 0), () => {
      if (over) return;
      over = true;
      callback();
    });
    return {
      [Symbol.dispose]: () => {
        over = true;
      },
    };
  };
  return {
    now: () => epochMs + Math.floor(agenda.nowMs),
    monotonic: () => agenda.nowMs,
    timer,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted === true) return reject(signal.reason);
        const onAbort = () => reject(signal?.reason);
        signal?.addEventListener("abort", onAbort, { once: true });
        timer(ms, () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        });
      }),
  };
}

function simulatedRandom(random: SeededRandom): Random {
  return {
    bytes: (count) => Uint8Array.from({ length: count }, () => random.int(256)),
    int: (limit) => random.int(limit),
  };
}

function tracedLog(who: string, trace: Trace): Log {
  const line = (level: string) => (message: string, fields?: object) =>
    trace.add(
      who,
      () => `${level}: ${message} ${fields === undefined ? "" : JSON.stringify(fields)}`,
    );
  const log: Log = {
    debug: () => undefined,
    info: line("info"),
    warn: line("warn"),
    error: line("error"),
    child: () => log,
  };
  return log;
}

interface PortsOptions {
  readonly who: string;
  readonly clock: Clock;
  readonly random: SeededRandom;
  readonly trace: Trace;
}

export function simulatedPorts({ who, clock, random, trace }: PortsOptions): Ports {
  return { clock, random: simulatedRandom(random.fork()), log: tracedLog(who, trace) };
}
