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

/** Best effort: flows die by themselves, and a host may go without the tool. */
export async function forgetFlows(
  addresses: readonly string[],
  modules: ConntrackModules,
): Promise<void> {
  const gone = new Set(addresses);
  if (gone.size === 0) return;
  await forget(modules, ({ source, backend }) => [
    ...(gone.has(source) ? [`-D -s ${source}`] : []),
    ...(gone.has(backend) ? [`-D -r ${backend}`] : []),
  ]);
}

/** Of this host's own addresses; the same. */
export async function forgetUdpPorts(
  ports: readonly UdpPort[],
  modules: ConntrackModules,
): Promise<void> {
  const named = new Set(ports.map(({ address, port }) => `${address} ${port}`));
  if (named.size === 0) return;
  await forget(modules, ({ protocol, destination, port }) =>
    protocol === "udp" && named.has(`${destination} ${port}`)
      ? [`-D -p udp -d ${destination} --dport ${port}`]
      : [],
  );
}

async function forget(
  { exec, log, scratchRoot }: ConntrackModules,
  deletionsFor: (flow: Flow) => readonly string[],
): Promise<void> {
  // The tool opens its input by name, and a pipe of Node's is a socket, which has none.
  const path = join(scratchRoot, "conntrack");
  try {
    const { stdout } = await exec.run("conntrack", ["-L"]);
    const lines = new Set<string>();
    const breaks = new Breaks();
    for (const flow of parseFlows(stdout)) {
      if (breaks.isDue(1)) await breaks.take();
      for (const line of deletionsFor(flow)) lines.add(line);
    }
    if (lines.size === 0) return;
    await writeFile(path, `${[...lines].join("\n")}\n`);
    await exec.run("conntrack", ["--load-file", path], { timeoutMs: deletionTimeoutMs });
  } catch (error) {
    log.debug("flows were not forgotten", { reason: Fault.from(error).message });
  } finally {
    await rm(path, { force: true });
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
