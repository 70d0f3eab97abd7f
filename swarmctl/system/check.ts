import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import { NetworkService, type ProbeResult } from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { NodeState } from "#proto/gen/swarm/v1/types_pb.ts";
import type { Context } from "../context.ts";
import { addNodeFlag, type NodeFlag, nodeName, onNodes } from "../node-call.ts";
import { formatOption, type ListingOptions, printListing } from "../output/listing.ts";

interface Options extends ListingOptions, NodeFlag {
  readonly mesh?: true;
}

interface Row {
  readonly from: Node;
  readonly to: Node;
  readonly result: ProbeResult;
}

/** Of the probes of one node, which go one peer after the other. */
const deadlineMs = 5 * 60_000;

export function define(command: Command, context: Context): void {
  addNodeFlag(command)
    .option("--mesh", "whether every node reaches every other: ports, overlays, size, loss")
    .addOption(formatOption())
    .action(async (options: Options) => {
      if (!options.mesh) command.error("error: say what to check: --mesh");
      const rows = await checkMesh(context, options);
      printListing<Row>(context, options, {
        items: rows,
        id: ({ from }) => from.id,
        json: ({ from, to, result: { what, ok, detail } }) => {
          return { from: nodeName(from), to: nodeName(to), what, ok, detail };
        },
        columns: [
          { title: "FROM", of: ({ from }) => nodeName(from) },
          { title: "TO", of: ({ to }) => nodeName(to) },
          { title: "CHECK", of: ({ result }) => result.what },
          { title: "RESULT", of: ({ result }) => (result.ok ? "ok" : "FAIL") },
          { title: "DETAIL", of: ({ result }) => result.detail },
        ],
      });
      if (rows.some(({ result }) => !result.ok)) context.exitCode = 1;
    });
}

async function checkMesh(context: Context, options: Options): Promise<readonly Row[]> {
  const { nodes } = await (await context.control()).listNodes({});
  const ready = nodes.filter(({ status }) => status?.state === NodeState.READY);
  if (ready.length < 2) {
    throw new Fault(
      "failed-precondition",
      "There is no mesh to check: fewer than two nodes are ready",
    );
  }
  const answers = await onNodes(context, NetworkService, options, async (client, from) => {
    const rows: Row[] = [];
    for (const to of ready.filter(({ id }) => id !== from.id)) {
      const request = { nodeId: to.id, tcpAddresses: portsOf(to) };
      const { results } = await client.probeNode(request, { deadlineMs });
      rows.push(...results.map((result) => ({ from, to, result })));
    }
    return rows;
  });
  return answers.flatMap(({ answer }) => answer);
}

function portsOf({ description, managerStatus }: Node): string[] {
  return [description?.engineAddress, managerStatus?.address].filter(
    (address): address is string => address !== undefined && address !== "",
  );
}
