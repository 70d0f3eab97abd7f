/**
 * Our nameserver alone in a process, as it is in swarmd, while its zone changes as often as a busy cluster's. Says how late
 * its event loop was whenever it is asked.
 */
import { monitorEventLoopDelay } from "node:perf_hooks";
import { DnsServer } from "#agent/dns/dns-server.ts";
import { silentLog, systemClock, systemRandom } from "#proto/system-ports.ts";
import { endpoint, type Names, zoneOf } from "./zone.ts";

export interface Job {
  readonly address: string;
  readonly port: number;
  readonly names: Names;
}

export interface LoopDelay {
  readonly p99Ms: number;
  readonly maxMs: number;
}

const changeMs = 100;

const { address, port, names } = JSON.parse(process.argv[2] ?? "") as Job;
const server = new DnsServer(
  { port },
  { clock: systemClock, random: systemRandom, log: silentLog, nameserversOf: () => [] },
);
const zone = zoneOf(names, address);
await server.apply(zone);

let endpoints = zone.endpoints;
let changes = 0;
setInterval(() => {
  const index = changes++ % endpoints.length;
  endpoints = endpoints.with(index, endpoint(index, names.services));
  void server.apply({ ...zone, endpoints });
}, changeMs);

const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
process.on("message", () => {
  process.send?.({ p99Ms: delay.percentile(99) / 1e6, maxMs: delay.max / 1e6 } satisfies LoopDelay);
  delay.reset();
});
process.on("disconnect", () => process.exit());
process.send?.("ready");
