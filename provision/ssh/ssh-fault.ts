/**
 * Why ssh could not do it, from what it prints, as a Fault that says what to do. The words are OpenSSH's (8.4 to 10), which
 * have no translations; those of the system below it come in English because we run ssh with LC_ALL=C. Pure.
 */
import { type Code, Fault } from "#proto/fault.ts";
import type { SshTarget } from "./ssh-arguments.ts";

interface Cause {
  readonly pattern: RegExp;
  readonly code: Code;
  /** After "Cannot reach HOST by ssh: ". */
  readonly words: (found: Found) => string;
}

interface Found {
  readonly target: SshTarget;
  readonly match: RegExpExecArray;
}

/** The first that matches counts. */
const causes: readonly Cause[] = [
  {
    pattern: /REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for .* has changed/,
    code: "permission-denied",
    words: ({ target }) =>
      `its host key is not the one in known_hosts. If the host was installed anew, forget the old key with "ssh-keygen -R ${knownName(target)}"; if not, somebody may stand between`,
  },
  {
    pattern: /Host key verification failed|No \S+ host key is known for/,
    code: "permission-denied",
    words: ({ target }) =>
      `its host key is not known here. Compare it and take it with "ssh ${destination(target)}" once`,
  },
  {
    pattern: /UNPROTECTED PRIVATE KEY FILE|Permissions \d+ for '.*' are too open/,
    code: "unauthenticated",
    words: ({ target }) =>
      `others may read the key ${target.settings.key ?? "file"}: run "chmod 600" on it`,
  },
  {
    pattern: /Load key "?([^":]+)"?: (.+)/,
    code: "unauthenticated",
    words: ({ match }) =>
      `the key "${match[1]}" cannot be used (${match[2]?.trim()}). A key with a passphrase goes into the agent: "ssh-add ${match[1]}"`,
  },
  {
    pattern: /(?:Permission denied|Too many authentication failures)(?: \(([^)]*)\))?/,
    code: "unauthenticated",
    words: ({ target }) =>
      `it refuses ${userOf(target)} with the keys that ssh has here. Put the public key into ~/.ssh/authorized_keys there ("ssh-copy-id ${destination(target)}"), or name another with ssh.key or ssh-add`,
  },
  {
    pattern: /Could not resolve hostname ([^:]+)/,
    code: "unavailable",
    words: ({ match }) => `the name "${match[1]}" is not known: write its IP address`,
  },
  {
    pattern: /Connection refused/,
    code: "unavailable",
    words: ({ target }) =>
      `it refuses connections to port ${target.settings.port ?? 22}: start sshd there, or give another ssh.port`,
  },
  {
    pattern: /timed out|Operation timed out|Timeout, server .* not responding/i,
    code: "unavailable",
    words: () => "it does not answer: is it switched on, and does a firewall let ssh through",
  },
  {
    pattern: /No route to host|Network is unreachable|Host is down/,
    code: "unavailable",
    words: ({ match }) => `there is no way to it (${match[0].toLowerCase()})`,
  },
  {
    pattern: /Bad owner or permissions on (.+)|Can't open user config file (.+)/,
    code: "failed-precondition",
    words: ({ match }) => `ssh does not read its configuration: ${match[0]}`,
  },
  {
    pattern:
      /kex_exchange_identification|Connection (?:closed|reset)|Broken pipe|mux_client|master/,
    code: "unavailable",
    words: ({ match }) => `the connection broke off (${match[0]})`,
  },
];

export function sshFault(target: SshTarget, stderr: string): Fault {
  for (const { pattern, code, words } of causes) {
    const match = pattern.exec(stderr);
    if (match !== null) return fault(target, code, words({ target, match }));
  }
  const last = stderr.trim().split("\n").at(-1)?.trim();
  return fault(target, "unavailable", last || "ssh ended without a word");
}

export function noSudoFault(target: SshTarget, stderr: string): Fault {
  const { name, rule } = { name: userOf(target), rule: "ALL=(ALL) NOPASSWD: ALL" };
  const said = stderr.trim().split("\n").at(-1)?.trim() || "no reason given";
  const message = `Cannot become root on ${target.address}: sudo refuses ${name} (${said}). Put "${target.settings.user ?? "USER"} ${rule}" into /etc/sudoers.d/swarm there, or use ssh.user: root`;
  return new Fault("permission-denied", message);
}

export function noSshFault(thrown: unknown): Fault {
  const message = "There is no ssh on this machine: install OpenSSH's client (openssh-client)";
  return new Fault("failed-precondition", message, { cause: thrown });
}

function fault({ address }: SshTarget, code: Code, words: string): Fault {
  return new Fault(code, `Cannot reach ${address} by ssh: ${words}`);
}

function userOf({ settings }: SshTarget): string {
  return settings.user === undefined ? "this user" : `the user "${settings.user}"`;
}

function destination({ address, settings }: SshTarget): string {
  const port = settings.port === undefined ? "" : `-p ${settings.port} `;
  return `${port}${settings.user === undefined ? "" : `${settings.user}@`}${address}`;
}

/** As known_hosts has it. */
function knownName({ address, settings }: SshTarget): string {
  const { port = 22 } = settings;
  return port === 22 ? address : `[${address}]:${port}`;
}
