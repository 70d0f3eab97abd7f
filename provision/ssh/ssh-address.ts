/** "ssh://[USER@]HOST[:PORT]", as `--host` takes it. */
import { Fault } from "#proto/fault.ts";
import type { SshTarget } from "./ssh-arguments.ts";

export function parseSshAddress(text: string): SshTarget {
  const pattern =
    /^ssh:\/\/(?:([^\s@/:-][^\s@/:]*)@)?(\[[0-9a-fA-F:.%]+\]|[^\s@/:[\]-][^\s@/:[\]]*)(?::([0-9]{1,5}))?\/?$/;
  const [, user, host, port] = pattern.exec(text) ?? [];
  if (host === undefined || Number(port ?? 22) > 65_535 || port === "0") {
    throw new Fault("invalid-argument", `"${text}" is not of the form ssh://[USER@]HOST[:PORT]`);
  }
  const settings = {
    ...(user !== undefined && { user }),
    ...(port !== undefined && { port: Number(port) }),
  };
  return { address: host.replace(/^\[|\]$/g, ""), settings };
}

/** As `parseSshAddress` reads it. */
export function formatSshAddress({ address, settings: { user, port } }: SshTarget): string {
  const host = address.includes(":") ? `[${address}]` : address;
  return `ssh://${user === undefined ? "" : `${user}@`}${host}${port === undefined ? "" : `:${port}`}`;
}
