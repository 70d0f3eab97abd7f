/**
 * Forgets flows whose translation is decided and wrong now. Of addresses that are gone: datagrams move to another backend at
 * once, streams are reset instead of waiting, and the next owner of an address does not inherit them. And of UDP ports that
 * nobody served: a flow that is asked for again and again would lead to nobody for ever.
 *
 * `conntrack` walks through all flows for each deletion. So they are listed first, and only what has flows is deleted.
 */
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Exec } from "#agent/exec.ts";
import { Fault } from "#proto/fault.ts";
import type { Log } from "#proto/ports.ts";
import { Breaks } from "./services/breaks.ts";
import type { UdpPort } from "./services/udp-ports.ts";

/** Of hundreds of addresses among tens of thousands of flows. */
const deletionTimeoutMs = 120_000;

export interface ConntrackModules {
  readonly exec: Exec;
  readonly log: Log;
  /** A folder for files that live as long as one command. */
  readonly scratchRoot: string;
}

/** As the packets say it that open it and that answer it. */
export interface Flow {
  readonly protocol: string;
  readonly source: string;
  readonly destination: string;
  /** The destination's; empty where the protocol has none. */
  readonly port: string;
  /** The destination behind the translation, if there is one. */
  readonly backend: string;
}

/** Beside the changes that made flows wrong: many deletions take many seconds, and no news shall wait for them. */
export class StaleFlows {
  readonly #modules: ConntrackModules;
  readonly #addresses = new Set<string>();
  readonly #udpPorts = new Set<string>();
  #last: Promise<void> = Promise.resolve();
  /** Not begun yet. */
  #next: Promise<void> | undefined;

  constructor(modules: ConntrackModules) {
    this.#modules = modules;
  }

  /** Addresses that went, and UDP ports of this host's own addresses that nobody served before. */
  forget(addresses: readonly string[], udpPorts: readonly UdpPort[] = []): void {
    if (addresses.length + udpPorts.length === 0) return;
    for (const address of addresses) this.#addresses.add(address);
    for (const { address, port } of udpPorts) this.#udpPorts.add(`${address} ${port}`);
    this.#next ??= this.#last.then(() => this.#begin());
    this.#last = this.#next;
  }

  /** Somebody is at these again, whose flows are right. */
  keep(addresses: Iterable<string>): void {
    if (this.#addresses.size === 0) return;
    for (const address of addresses) this.#addresses.delete(address);
  }

  /** Resolves when all is forgotten. */
  async idle(): Promise<void> {
    while (this.#next !== undefined) await this.#next;
    await this.#last;
  }

  /** Best effort: flows die by themselves, and a host may go without the tool. */
  async #begin(): Promise<void> {
    this.#next = undefined;
    const { exec, log, scratchRoot } = this.#modules;
    // The tool opens its input by name, and a pipe of Node's is a socket, which has none.
    const path = join(scratchRoot, "conntrack");
    try {
      const { stdout } = await exec.run("conntrack", ["-L"]);
      const lines = await this.#deletions(stdout);
      if (lines.length === 0) return;
      await writeFile(path, `${lines.join("\n")}\n`);
      await exec.run("conntrack", ["--load-file", path], { timeoutMs: deletionTimeoutMs });
    } catch (error) {
      log.debug("flows were not forgotten", { reason: Fault.from(error).message });
    } finally {
      await rm(path, { force: true });
      // What was asked for meanwhile may have come too late for the list: there is another look.
      if (this.#next === undefined) {
        this.#addresses.clear();
        this.#udpPorts.clear();
      }
    }
  }

  async #deletions(listed: string): Promise<readonly string[]> {
    const lines = new Set<string>();
    const breaks = new Breaks();
    for (const flow of parseFlows(listed)) {
      if (breaks.isDue(1)) await breaks.take();
      for (const line of this.#deletionsFor(flow)) lines.add(line);
    }
    return [...lines];
  }

  #deletionsFor({ protocol, source, destination, port, backend }: Flow): readonly string[] {
    const asked = protocol === "udp" && this.#udpPorts.has(`${destination} ${port}`);
    return [
      ...(this.#addresses.has(source) ? [`-D -s ${source}`] : []),
      ...(this.#addresses.has(backend) ? [`-D -r ${backend}`] : []),
      ...(asked ? [`-D -p udp -d ${destination} --dport ${port}`] : []),
    ];
  }
}

/** Of what `conntrack -L` prints: both directions of each flow, one flow in a line. */
export function* parseFlows(text: string): Generator<Flow> {
  const direction = String.raw`src=([0-9a-f.:]+) dst=([0-9a-f.:]+)`;
  const pattern = new RegExp(
    String.raw`^(\w+) .*?\b${direction}(?: sport=\d+ dport=(\d+))?.*? ${direction}`,
    "gm",
  );
  for (const [
    ,
    protocol = "",
    source = "",
    destination = "",
    port = "",
    backend = "",
  ] of text.matchAll(pattern)) {
    yield { protocol, source, destination, port, backend };
  }
}
