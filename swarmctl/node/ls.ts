import { toJson } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import { type Node, NodeSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import type { Context } from "../context.ts";
import { addListingFlags, type ListingOptions, printListing } from "../output/listing.ts";
import { compareText } from "../output/table.ts";
import { availabilityWord, managerWord, stateWord } from "./words.ts";

export function define(command: Command, context: Context): void {
  addListingFlags(command).action(async (options: ListingOptions) => {
    const control = await context.control(options);
    const [{ nodes }, self] = await Promise.all([control.listNodes({}), ownNodeId(context)]);
    printListing(context, options, {
      items: nodes.toSorted(
        (a, b) => compareText(hostname(a), hostname(b)) || compareText(a.id, b.id),
      ),
      id: (node) => node.id,
      json: (node) => toJson(NodeSchema, node),
      columns: [
        { title: "ID", of: (node) => (node.id === self ? `${node.id} *` : node.id) },
        { title: "HOSTNAME", of: hostname },
        { title: "STATUS", of: (node) => stateWord(node.status) },
        { title: "AVAILABILITY", of: (node) => availabilityWord(node.spec?.availability) },
        { title: "MANAGER STATUS", of: (node) => managerWord(node.managerStatus) },
        { title: "ENGINE VERSION", of: (node) => node.description?.engine?.engineVersion ?? "" },
      ],
    });
  });
}

function hostname(node: Node): string {
  return node.description?.hostname ?? "";
}

/** For the asterisk alone: a list without it is better than none while swarmd restarts. */
async function ownNodeId(context: Context): Promise<string> {
  try {
    const swarmd = await context.node();
    return (await swarmd.getInfo({}, { deadlineMs: 1000 })).nodeId;
  } catch (thrown) {
    if (thrown instanceof Fault) return "";
    throw thrown;
  }
}
