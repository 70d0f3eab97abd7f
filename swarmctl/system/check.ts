import type { Command } from "commander";
import type { Context } from "../context.ts";
import { addNodeFlag, type NodeFlag } from "../node-call.ts";
import { formatOption, type ListingOptions, printListing } from "../output/listing.ts";
import { checkHosts } from "./check-hosts.ts";
import { checkMesh, type MeshRow } from "./check-mesh.ts";
import type { Finding } from "./host-findings.ts";

interface Options extends ListingOptions, NodeFlag {
  readonly mesh?: true;
  readonly local?: true;
  readonly all?: true;
}

export function define(command: Command, context: Context): void {
  addNodeFlag(command)
    .option("--mesh", "whether every node reaches every other: ports, overlays, size, loss")
    .option("--local", "this host alone, with nothing but itself")
    .option("-a, --all", "show also what is in order")
    .addOption(formatOption())
    .action(async (options: Options) => {
      if (options.local && (options.mesh || options.node !== undefined)) {
        command.error("error: --local is about this host: leave out --mesh and --node");
      }
      if (options.mesh) printMesh(context, options, await checkMesh(context, options));
      else printHosts(context, options, await checkHosts(context, options));
    });
}

function printHosts(context: Context, options: Options, findings: readonly Finding[]): void {
  const shown = findings.filter(({ result }) => options.all || result !== "ok");
  if (shown.length === 0 && options.format === "table") {
    const hosts = new Set(findings.map(({ host }) => host));
    context.print(`Nothing is missing: ${findings.length} checks on ${[...hosts].join(", ")}.`);
    return;
  }
  printListing<Finding>(context, options, {
    items: shown,
    id: ({ host }) => host,
    json: (finding) => finding,
    columns: [
      { title: "HOST", of: ({ host }) => host },
      { title: "CHECK", of: ({ check }) => check },
      { title: "RESULT", of: ({ result }) => result },
      { title: "DETAIL", of: ({ detail }) => detail },
      { title: "HOW", of: ({ how }) => how },
    ],
  });
  if (shown.some(({ result }) => result === "missing" || result === "wrong")) context.exitCode = 1;
}

function printMesh(context: Context, options: Options, rows: readonly MeshRow[]): void {
  printListing<MeshRow>(context, options, {
    items: rows,
    id: ({ from }) => from,
    json: (row) => row,
    columns: [
      { title: "FROM", of: ({ from }) => from },
      { title: "TO", of: ({ to }) => to },
      { title: "CHECK", of: ({ what }) => what },
      { title: "RESULT", of: ({ ok }) => (ok ? "ok" : "FAIL") },
      { title: "DETAIL", of: ({ detail }) => detail },
    ],
  });
  if (rows.some(({ ok }) => !ok)) context.exitCode = 1;
}
