/** What we tell the system's ssh. All that we leave out is the user's own configuration's to say: agent, keys, jumps, names. */
import type { SshSettings } from "../cluster-file/cluster-file.ts";

/** A host that is switched off says nothing. */
const connectSeconds = 10;
/** So long a connection may be silent before it counts as broken: interval × count. */
const aliveSeconds = 5;
const aliveCount = 3;

export interface SshTarget {
  readonly address: string;
  readonly settings: SshSettings;
}

/** Options and destination; the command follows. Nobody is ever asked for anything. */
export function sshArguments(
  { address, settings }: SshTarget,
  options: Readonly<Record<string, string>>,
): string[] {
  const { user, port, key, config, jump } = settings;
  const all = {
    BatchMode: "yes",
    ConnectTimeout: `${connectSeconds}`,
    ServerAliveInterval: `${aliveSeconds}`,
    ServerAliveCountMax: `${aliveCount}`,
    // What a user's configuration may ask for, and a pipe cannot have.
    RequestTTY: "no",
    RemoteCommand: "none",
    LogLevel: "ERROR",
    ...options,
  };
  return [
    ...(config === undefined ? [] : ["-F", config]),
    ...(key === undefined ? [] : ["-i", key]),
    ...(jump === undefined ? [] : ["-J", jump]),
    ...(port === undefined ? [] : ["-p", `${port}`]),
    ...(user === undefined ? [] : ["-l", user]),
    ...Object.entries(all).flatMap(([name, value]) => ["-o", `${name}=${value}`]),
    "--",
    address,
  ];
}

/** As the shell there reads it back: one word each. */
export function shellWords(command: readonly string[]): string {
  return command.map(shellWord).join(" ");
}

function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
