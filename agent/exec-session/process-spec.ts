/**
 * The OCI process of a command that is run in a container: the container's own environment, user, capabilities and limits,
 * but for what the caller asks for. Pure.
 */
import { Fault } from "#proto/fault.ts";
import type { ExecStart } from "#proto/gen/swarm/v1/engine_pb.ts";
import { mergeEnv } from "../container/environment.ts";
import { type Accounts, resolveUser } from "../container/user.ts";
import type { ContainerProcess } from "./running-container.ts";

export interface ProcessFacts {
  /** What the container's first process is started with. */
  readonly container: ContainerProcess;
  /** Read only where the caller names a user. */
  readonly accounts: Accounts;
  /** This program's own, as the OCI names them: nobody can give more. */
  readonly capabilities: readonly string[];
}

export type ProcessWishes = Pick<
  ExecStart,
  "command" | "tty" | "env" | "user" | "dir" | "privileged"
>;

export function planProcess(wishes: ProcessWishes, facts: ProcessFacts): ContainerProcess {
  const { container, accounts, capabilities } = facts;
  if (wishes.command.length === 0) {
    throw new Fault("invalid-argument", "the command is missing: say what to run");
  }
  const all = [...capabilities];
  const { apparmorProfile: _unconfined, ...others } = container;
  return {
    ...(wishes.privileged ? others : container),
    terminal: wishes.tty,
    args: wishes.command,
    env: mergeEnv([...(wishes.tty ? ["TERM=xterm"] : []), ...(container.env ?? []), ...wishes.env]),
    cwd: planCwd(wishes.dir, container.cwd),
    ...(wishes.user !== "" && { user: resolveUser(wishes.user, [], accounts) }),
    ...(wishes.privileged && {
      capabilities: { bounding: all, effective: all, permitted: all },
    }),
  };
}

function planCwd(wanted: string, ofContainer: string): string {
  if (wanted === "") return ofContainer;
  if (wanted.startsWith("/")) return wanted;
  throw new Fault("invalid-argument", `working directory "${wanted}" is not an absolute path`);
}
