/** How late swarmd's event loop is while it does something. */
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Host } from "#lab/host.ts";
import { innerPid } from "#lab/process-id.ts";
import { Fault } from "#proto/fault.ts";
import type { LoopDelay } from "./loop-delay-program.ts";

const program = fileURLToPath(new URL("loop-delay-program.ts", import.meta.url));

export async function loopDelayDuring(host: Host, work: () => Promise<void>): Promise<LoopDelay> {
  const { process: swarmd } = host.swarmd;
  const pid = swarmd && innerPid(swarmd.pid);
  if (pid === undefined) throw new Fault("failed-precondition", "swarmd does not run");
  const child = host.spawn(process.execPath, [program, String(pid)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  if (child.stdout === null) throw new Fault("internal", "no pipe");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async () => {
    const { value, done } = await lines.next();
    if (done === true) throw new Fault("internal", "the program that measures swarmd ended");
    return value;
  };
  try {
    await line();
    await work();
    child.stdin?.end();
    return JSON.parse(await line()) as LoopDelay;
  } finally {
    child.stdin?.end();
  }
}
