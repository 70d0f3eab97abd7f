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
  const userId = await Promise.race([
    userIdOf(child),
    end.then(({ stdout, stderr }): Fault => {
      const said = stdout.trim().split("\n").at(-1)?.slice(0, 80);
      const words = `the shell there answers "${said}" instead of a user's ID`;
      return sshFault(target, stderr.trim() || (said ? words : ""));
    }),
  ]);
  if (typeof userId !== "number") throw userId;
  const close = () => {
    child.stdin.end();
    // Others may still use the connection, and are not waited for.
    child.kill();
    return ended;
  };
  return { userId, controlPath, ended, close };
}

/** What a shell's start files print stands before, and may come earlier. */
function userIdOf(child: SshChild): Promise<number> {
  return new Promise((resolve) => {
    let text = "";
    const onData = (chunk: Buffer) => {
      text += chunk.toString();
      const [, userId] = /^(\d+)\r?\n/m.exec(text) ?? [];
      text = text.slice(text.lastIndexOf("\n") + 1);
      if (userId === undefined) return;
      child.stdout.off("data", onData);
      resolve(Number(userId));
    };
    child.stdout.on("data", onData);
  });
}
