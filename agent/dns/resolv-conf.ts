/** The host's resolv.conf(5): whom it asks, and which domains it tries. */
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { Fault } from "#proto/fault.ts";
import type { Clock, Log } from "#proto/ports.ts";

export interface ResolvConf {
  readonly nameservers: readonly string[];
  readonly search: readonly string[];
}

export const hostResolvConf = "/etc/resolv.conf";

/** The address of systemd-resolved's stub, and where it names whom it asks itself. */
const stub = "127.0.0.53";
const behindStub = "/run/systemd/resolve/resolv.conf";

/** The C library stops at three as well. */
export const nameserversMax = 3;

/** A change counts so long after it at the latest. */
const rereadMs = 1_000;

export function parseResolvConf(text: string): ResolvConf {
  const lines = text.split("\n").map((line) => line.split(/\s+/));
  const servers = lines
    .filter(([keyword, address]) => keyword === "nameserver" && isIP(address ?? "") !== 0)
    .map(([, address = ""]) => address);
  // The last one counts; "domain" is its older form.
  const search = lines.findLast(([keyword]) => keyword === "search" || keyword === "domain");
  return {
    nameservers: [...new Set(servers)].slice(0, nameserversMax),
    search: (search ?? []).slice(1).filter((domain) => /^[^#;.][^#;]*$/.test(domain)),
  };
}

/** Without a file there is nobody to ask. */
export async function readResolvConf(
  path = hostResolvConf,
  { log, stubFile = behindStub }: { readonly log?: Log; readonly stubFile?: string } = {},
): Promise<ResolvConf> {
  const read = async (file: string) => parseResolvConf(await readFile(file, "utf8"));
  try {
    const conf = await read(path);
    const stubbed = conf.nameservers.length === 1 && conf.nameservers[0] === stub;
    return stubbed ? await read(stubFile).catch(() => conf) : conf;
  } catch (error) {
    log?.debug("no nameservers of the host", { reason: Fault.from(error).message });
    return { nameservers: [], search: [] };
  }
}

/** Follows the file, which DHCP and VPNs change while programs run. */
export class HostResolver {
  readonly #path: string | undefined;
  readonly #modules: { readonly clock: Clock; readonly log: Log };
  #read: Promise<ResolvConf> | undefined;
  #known: readonly string[] = [];
  #readAtMs = 0;

  constructor(path: string | undefined, modules: { readonly clock: Clock; readonly log: Log }) {
    this.#path = path;
    this.#modules = modules;
  }

  /** As they were when last asked for. */
  get known(): readonly string[] {
    return this.#known;
  }

  async nameservers(): Promise<readonly string[]> {
    const { clock, log } = this.#modules;
    const nowMs = clock.monotonic();
    if (this.#read === undefined || nowMs - this.#readAtMs >= rereadMs) {
      this.#readAtMs = nowMs;
      this.#read = readResolvConf(this.#path, { log });
    }
    this.#known = (await this.#read).nameservers;
    return this.#known;
  }
}
