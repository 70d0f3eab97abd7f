/** The networks of a lab's containers, entered from outside: programs in them are the machine's own. */
import type { ChildProcess } from "node:child_process";
import { systemExec } from "#agent/exec.ts";
import type { Host } from "#lab/host.ts";
import { Fault } from "#proto/fault.ts";
import { containersOf } from "../containers.ts";
import type { Run } from "./load.ts";

const runTimeoutMs = 30_000;

/** A network that programs can be run in. */
export interface Place {
  readonly run: Run;
  /** Runs until it is killed, or this process dies. */
  start(command: string, args: readonly string[]): ChildProcess;
}

/** One for each container of this host. */
export function taskPlaces(lab: string, host: Host): readonly Place[] {
  return [...containersOf(lab, [host.name])].map(({ pids: [pid] }) => {
    const enter = [`--net=/proc/${pid}/ns/net`];
    return {
      run: (command, args) =>
        systemExec.run("nsenter", [...enter, command, ...args], { timeoutMs: runTimeoutMs }),
      start: (command, args) => {
        const dying = ["--pdeathsig", "KILL", "nsenter", ...enter, command, ...args];
        return systemExec.start("setpriv", dying, { stdio: ["pipe", "pipe", "inherit"] });
      },
    };
  });
}

/** On the overlay, which is the first network of a task, by either orchestrator. */
export async function overlayAddress(place: Place): Promise<string> {
  const { stdout } = await place.run("ip", ["-4", "-oneline", "address", "show", "dev", "eth0"]);
  const address = / inet ([\d.]+)\//.exec(stdout)?.[1];
  if (address === undefined) throw new Fault("internal", `a task has no address: ${stdout}`);
  return address;
}
