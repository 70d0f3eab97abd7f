/** Metrics of the engine, where the administrator wants them: `--metrics-address`. */
import type { MetricsSources } from "#agent/metrics/metrics-server.ts";
import { Fault } from "#proto/fault.ts";
import type { Log } from "#proto/ports.ts";

/** Serves until disposed of. That it cannot is logged: containers do not wait for metrics. Empty address: nothing is served. */
export async function openMetrics(
  address: string,
  sources: MetricsSources,
  { log }: { readonly log: Log },
): Promise<AsyncDisposable> {
  const opened = new AsyncDisposableStack();
  if (address === "") return opened;
  try {
    // Costs memory, and most hosts have none.
    const { serveMetrics } = await import("#agent/metrics/metrics-server.ts");
    const server = opened.use(await serveMetrics(address, sources, { log }));
    log.info("metrics are served", { address: server.address });
  } catch (thrown) {
    log.error(Fault.from(thrown).message);
  }
  return opened;
}
