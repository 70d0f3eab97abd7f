/**
 * What this host's agent counts, for Prometheus to fetch: in its text format, at /metrics, over plain HTTP on an address that
 * the administrator names. Read at the moment that somebody asks; costs nothing otherwise.
 */
import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import { collectDefaultMetrics, Counter, Gauge, Registry } from "prom-client";
import { Fault } from "#proto/fault.ts";
import type { Log } from "#proto/ports.ts";
import { version } from "#proto/version.ts";
import { parseHostPort } from "#proto/host-port.ts";
import type { NetworkStatus } from "../network/network-driver.ts";

export interface MetricsSources {
  readonly network: () => NetworkStatus;
  /** Containers that run. */
  readonly running: () => number;
  /** Whether a session with a manager stands. */
  readonly connected: () => boolean;
}

/** Whoever asks sends a few lines; who is slower than this is no Prometheus. */
const requestMsMax = 5_000;
const connectionsMax = 16;

/** HOST:PORT. A Fault where it cannot be listened on. */
export async function serveMetrics(
  address: string,
  sources: MetricsSources,
  { log }: { readonly log: Log },
): Promise<AsyncDisposable & { readonly address: string }> {
  const registry = newRegistry(sources);
  const server = createServer({ requestTimeout: requestMsMax, headersTimeout: requestMsMax });
  server.maxConnections = connectionsMax;
  server.on("request", ({ method, url }, response) => {
    const wanted = method === "GET" && url?.split("?")[0] === "/metrics";
    if (wanted) void answer(registry, response, log);
    else response.writeHead(404).end("Metrics are at /metrics\n");
  });
  await listen(server, address);
  const bound = server.address();
  const port = typeof bound === "object" ? bound?.port : undefined;
  return {
    address: address.replace(/:\d+$/, `:${port}`),
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

async function answer(registry: Registry, response: ServerResponse, log: Log): Promise<void> {
  try {
    const text = await registry.metrics();
    response.writeHead(200, { "content-type": registry.contentType }).end(text);
  } catch (thrown) {
    log.warn("cannot count for metrics", { error: Fault.from(thrown).message });
    response.writeHead(500).end();
  }
}

async function listen(server: Server, address: string): Promise<void> {
  try {
    const { host, port } = parseHostPort(address);
    server.listen(port, host);
    await once(server, "listening");
  } catch (thrown) {
    throw Fault.wrap(`Cannot serve metrics at ${address}`, thrown);
  }
}

function newRegistry({ network, running, connected }: MetricsSources): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const gauge = (name: string, help: string, value: () => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(value());
      },
    });
  const counter = (name: string, help: string, value: () => number) =>
    new Counter({
      name,
      help,
      registers: [registry],
      collect() {
        this.reset();
        this.inc(value());
      },
    });
  new Gauge({
    name: "swarm_build_info",
    help: "1, with the version that runs",
    labelNames: ["version"],
    registers: [registry],
  }).set({ version }, 1);
  gauge("swarm_connected", "Whether a session with a manager stands", () => Number(connected()));
  gauge("swarm_containers_running", "Containers that run on this host", running);
  counter(
    "swarm_network_convergences_total",
    "How often this host's network was brought to what managers want",
    () => network().convergences,
  );
  gauge(
    "swarm_network_convergence_seconds",
    "How long that took the last time",
    () => network().convergenceMs / 1000,
  );
  counter(
    "swarm_network_repairs_total",
    "How often something had to be put back that another had changed",
    () => network().repairs,
  );
  gauge("swarm_network_refusals", "Networks that this host cannot carry", () => {
    return network().refusals.length;
  });
  gauge("swarm_network_obstacles", "Firewalls of others that stand in the way", () => {
    return network().obstacles.length;
  });
  return registry;
}
