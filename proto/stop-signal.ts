/** By which signal a container is asked to stop: "SIGTERM", "TERM", "15", also real-time ones ("SIGRTMIN+3"). Pure. */
import { constants } from "node:os";
import { Fault } from "./fault.ts";

const signals: Readonly<Record<string, number>> = constants.signals;

/** As glibc numbers them: the first two real-time signals are its own. */
const rtMin = 34;
const rtMax = 64;

export function parseSignal(text: string): number {
  const name = text.toUpperCase();
  const number = /^[0-9]+$/.test(name) ? Number(name) : numberOf(name.replace(/^SIG/, ""));
  if (number !== undefined && number >= 1 && number <= rtMax) return number;
  throw new Fault("invalid-argument", `unknown stop signal "${text}"`);
}

function numberOf(name: string): number | undefined {
  const realTime = /^RTM(IN|AX)([+-][0-9]+)?$/.exec(name);
  if (realTime === null) return signals[`SIG${name}`];
  return (realTime[1] === "IN" ? rtMin : rtMax) + Number(realTime[2] ?? 0);
}
