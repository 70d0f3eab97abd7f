/** "HOST:PORT", as in flags and in what nodes say of themselves; IPv6 in brackets. */
import { isIPv6 } from "node:net";
import { Fault } from "./fault.ts";

export function parseHostPort(address: string): { readonly host: string; readonly port: number } {
  const [, bracketed, plain, port] =
    /^(?:\[([0-9a-fA-F:.]+)\]|([^:]+)):([0-9]{1,5})$/.exec(address) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || Number(port) > 65_535) {
    throw new Fault("invalid-argument", `"${address}" is not of the form HOST:PORT`);
  }
  return { host, port: Number(port) };
}

export function formatHostPort(host: string, port: number): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}
