/**
 * Which proxy leads to a host: HTTP_PROXY, HTTPS_PROXY and NO_PROXY as curl and Docker read them. Pure.
 *
 * NO_PROXY is a list with commas: "*", IP addresses, networks (10.0.0.0/8), and domains, which stand for what is below
 * them, too ("example.com"; ".example.com" for that alone). Each may have a port. Loopback is never asked of a proxy.
 */
import { BlockList, isIP } from "node:net";
import { Fault } from "#proto/fault.ts";

export interface Proxy {
  /** URLs; absent: directly. */
  readonly http?: string;
  readonly https?: string;
  readonly except: readonly string[];
}

export function proxyFromEnvironment(env: Readonly<Record<string, string | undefined>>): Proxy {
  const read = (name: string) => env[name.toLowerCase()] || env[name] || undefined;
  const http = proxyUrl("HTTP_PROXY", read("HTTP_PROXY"));
  const https = proxyUrl("HTTPS_PROXY", read("HTTPS_PROXY"));
  const except = (read("NO_PROXY") ?? "").split(",").map((entry) => entry.trim().toLowerCase());
  return {
    ...(http !== undefined && { http }),
    ...(https !== undefined && { https }),
    except: except.filter((entry) => entry !== ""),
  };
}

/** The proxy's own URL; undefined: directly. */
export function proxyFor(url: URL, proxy: Proxy): string | undefined {
  const wanted = url.protocol === "https:" ? proxy.https : proxy.http;
  if (wanted === undefined || isLoopback(url.hostname)) return undefined;
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  return proxy.except.some((entry) => covers(entry, bare(url.hostname), port)) ? undefined : wanted;
}

/** Not shown as it is: it may have a password in it. */
function proxyUrl(name: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const url = URL.parse(text.includes("://") ? text : `http://${text}`);
  if (url?.protocol === "http:" || url?.protocol === "https:") return url.href;
  throw new Fault("invalid-argument", `${name} is not a proxy's address: write http://HOST:PORT`);
}

export function isLoopback(hostname: string): boolean {
  const host = bare(hostname);
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

/** Without the brackets of an IPv6 address. */
function bare(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, "$1").toLowerCase();
}

function covers(entry: string, host: string, port: string): boolean {
  if (entry === "*") return true;
  if (entry.includes("/")) return isInNetwork(host, entry);
  const [, name = entry, ofPort] = /^(.*?)(?::([0-9]+))?$/.exec(isIP(entry) ? "" : entry) ?? [];
  if (ofPort !== undefined && ofPort !== port) return false;
  const wanted = bare(isIP(entry) ? entry : name);
  if (isIP(host) !== 0) return host === wanted;
  const domain = wanted.replace(/^\*?\./, "");
  return host.endsWith(`.${domain}`) || (domain === wanted && host === domain);
}

/** Whether the host is an IP address of the network "192.0.2.0/24"; never, where that is none. */
export function isInNetwork(host: string, network: string): boolean {
  const [address = "", bits = ""] = network.split("/");
  const family = isIP(address);
  const length = Number(bits);
  if (family === 0 || isIP(host) !== family || !/^[0-9]+$/.test(bits)) return false;
  if (length > (family === 4 ? 32 : 128)) return false;
  const kind = family === 4 ? "ipv4" : "ipv6";
  const block = new BlockList();
  block.addSubnet(address, length, kind);
  return block.check(host, kind);
}
