import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import {
  NodeAvailability,
  NodeMembership,
  NodeRole,
  NodeState,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { Context, ControlClient } from "../context.ts";
import {
  addFilterFlag,
  checkFilterWords,
  filtered,
  type FilterFlag,
  type Filters,
  hasLabel,
} from "../output/filter.ts";
import { wordOf, wordsOf } from "../output/enum-words.ts";
import {
  addListingFlags,
  labelFields,
  type ListingOptions,
  printListing,
} from "../output/listing.ts";
import { compareText } from "../output/table.ts";
import { availabilityWord, managerWord, stateWord } from "./words.ts";

interface Options extends ListingOptions, FilterFlag {}

/** With Docker's meaning: `label` is the engine's, `node.label` the one that users gave the node. */
const filters: Filters<Node> = {
  id: ({ id }, value) => id.startsWith(value),
  name: (node, value) => hostname(node).includes(value),
  label: ({ description }, value) => hasLabel(description?.engine?.labels, value),
  "node.label": ({ spec }, value) => hasLabel(spec?.annotations?.labels, value),
  role: ({ role }, value) => wordOf(NodeRole, role) === value.toLowerCase(),
  membership: ({ spec }, value) =>
    wordOf(NodeMembership, spec?.membership ?? 0) === value.toLowerCase(),
  availability: ({ spec }, value) =>
    availabilityWord(spec?.availability).toLowerCase() === value.toLowerCase(),
  status: ({ status }, value) => stateWord(status).toLowerCase() === value.toLowerCase(),
};

const filterWords = {
  role: wordsOf(NodeRole),
  membership: wordsOf(NodeMembership),
  availability: wordsOf(NodeAvailability),
  status: wordsOf(NodeState),
};

export function define(command: Command, context: Context): void {
  addFilterFlag(addListingFlags(command), Object.keys(filters));
  command.action(async (options: Options) => {
    for (const [key, words] of Object.entries(filterWords)) checkFilterWords(options, key, words);
    const control = await context.control(options);
    const [{ nodes }, self] = await Promise.all([control.listNodes({}), ownNodeId(context)]);
    const tlsStatusOf = options.format === "table" ? () => "" : await tlsStatuses(control);
    printListing(context, options, {
      items: filtered(nodes, options, filters).toSorted(
        (a, b) => compareText(hostname(a), hostname(b)) || compareText(a.id, b.id),
      ),
      id: (node) => node.id,
      columns: [
        { title: "ID", of: (node) => (node.id === self ? `${node.id} *` : node.id) },
        { title: "HOSTNAME", of: hostname },
        { title: "STATUS", of: (node) => stateWord(node.status) },
        { title: "AVAILABILITY", of: (node) => availabilityWord(node.spec?.availability) },
        { title: "MANAGER STATUS", of: (node) => managerWord(node.managerStatus) },
        { title: "ENGINE VERSION", of: (node) => node.description?.engine?.engineVersion ?? "" },
      ],
      fields: {
        ID: ({ id }) => id,
        Self: ({ id }) => id === self,
        TLSStatus: ({ description }) => tlsStatusOf(description?.tls),
        Role: ({ role }) => wordOf(NodeRole, role),
        Address: ({ status }) => status?.address ?? "",
        ...labelFields<Node>(({ spec }) => spec?.annotations?.labels),
      },
    });
  });
}

function hostname(node: Node): string {
  return node.description?.hostname ?? "";
}

/** Not of the table, as it takes another question; a list without it is better than none. */
async function tlsStatuses(control: ControlClient) {
  const { tlsStatus } = await import("./tls-status.ts");
  try {
    const { cluster } = await control.getCluster({});
    return tlsStatus(cluster?.rootCa);
  } catch (thrown) {
    if (thrown instanceof Fault) return tlsStatus(undefined);
    throw thrown;
  }
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
