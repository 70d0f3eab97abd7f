/** What the benchmark of spreading prints: a table for people, and as the last line one JSON object. */
import { formatTable } from "#swarmctl/output/table.ts";
import type { Spread } from "./spread.ts";

export function formatSpreadReport(spreads: readonly Spread[]): string {
  const rows = spreads.map(({ name, deployMs, registryMb }) => [
    `${name} layers of each other`,
    `${Math.round(deployMs)} ms`,
    `${Math.round(registryMb)} MB`,
  ]);
  const of = (wanted: Spread["name"]) => spreads.find(({ name }) => name === wanted);
  const oursMs = Math.round(of("with")?.deployMs ?? Number.NaN);
  const withoutMs = Math.round(of("without")?.deployMs ?? Number.NaN);
  const line = JSON.stringify({
    bench: "spread",
    ours_ms: oursMs,
    without_ms: withoutMs,
    ratio: Math.round((oursMs / withoutMs) * 100) / 100,
    registry_mb: Math.round(of("with")?.registryMb ?? Number.NaN),
    without_registry_mb: Math.round(of("without")?.registryMb ?? Number.NaN),
  });
  return `${formatTable(["HOSTS", "ALL RUN AFTER", "FROM THE REGISTRY"], rows)}\n${line}\n`;
}
