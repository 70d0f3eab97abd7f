/**
 * The one connection to a host that all commands share (ssh's ControlMaster). It runs a `cat` there that lives as long as this
 * process holds its input: however swarmctl ends, nothing is left on either side.
 */
import type { Fault } from "#proto/fault.ts";
import { endOf, type SshChild, spawnSsh } from "./ssh-process.ts";
import { type SshTarget, sshArguments } from "./ssh-arguments.ts";
import { sshFault } from "./ssh-fault.ts";

/** Who we are there comes first, which also says that we are in. */
const command = "id -u; exec cat";

export interface SshMaster {
  readonly userId: number;
  readonly controlPath: string;
  readonly ended: Promise<void>;
  close(): Promise<void>;
}

export interface MasterOptions {
  readonly controlPath: string;
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal;
}

export async function openMaster(target: SshTarget, options: MasterOptions): Promise<SshMaster> {
  const { controlPath, env, signal } = options;
  const args = sshArguments(target, {
    ControlMaster: "yes",
    ControlPath: controlPath,
    ControlPersist: "no",
  });
  const child = spawnSsh([...args, command], env);
  const end = endOf(child, signal);
  const ended = end.then(
    () => {},
    () => {},
  );
  const line = await Promise.race([
    firstLine(child),
    end.then(({ stderr }): Fault => sshFault(target, stderr)),
  ]);
  if (typeof line !== "string") throw line;
  const close = () => {
    child.stdin.end();
    // Others may still use the connection, and are not waited for.
    child.kill();
    return ended;
  };
  const userId = Number(line);
  if (Number.isInteger(userId)) return { userId, controlPath, ended, close };
  await close();
  throw sshFault(target, `the shell there answers "${line.slice(0, 80)}" instead of a user's ID`);
}

function firstLine(child: SshChild): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const onData = (chunk: Buffer) => {
      text += chunk.toString();
      if (!text.includes("\n")) return;
      child.stdout.off("data", onData);
      // What a shell's start files print stands before.
      resolve(text.trim().split("\n").at(-1)?.trim() ?? "");
    };
    child.stdout.on("data", onData);
  });
}
