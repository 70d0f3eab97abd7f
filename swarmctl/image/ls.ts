import type { Command } from "commander";
import { type Image, ImageService } from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Node } from "#proto/gen/swarm/v1/objects_pb.ts";
import { msFromTimestamp } from "#proto/time.ts";
import type { Context } from "../context.ts";
import { isTrue } from "../flags/is-true.ts";
import { formatAgo, formatMoment } from "../output/age.ts";
import { addFilterFlag, filtered, type FilterFlag, type Filters } from "../output/filter.ts";
import { listFormatOption } from "../output/format.ts";
import { type Column, type ListingOptions, printListing } from "../output/listing.ts";
import { formatSize } from "../output/size.ts";
import { addNodeFlag, type NodeFlag, nodeName, onNodes } from "../node-call.ts";
import { familiarName, shortImageId, splitTag } from "./on-nodes.ts";

interface Options extends ListingOptions, NodeFlag, FilterFlag {
  readonly all?: true;
  readonly digests?: true;
  readonly trunc: boolean;
}

interface Row {
  readonly node: Node;
  readonly image: Image;
  readonly repository: string;
  readonly tag: string;
}

export function define(command: Command, context: Context): void {
  addFilterFlag(addNodeFlag(command), Object.keys(filters))
    .argument("[name]", "only images of this name")
    .addOption(listFormatOption())
    .option("-a, --all", "for Docker's users: there are no images in between")
    .option("-q, --quiet", "print only IDs, one per line")
    .option("--no-trunc", "print IDs in full")
    .option("--digests", "show the digests under which they were pulled")
    .action((name: string | undefined, options: Options) => printImages(context, options, name));
}

export async function printImages(
  context: Context,
  options: Options,
  name?: string,
): Promise<void> {
  const answers = await onNodes(context, ImageService, options, (client) => client.listImages({}));
  const rows = answers.flatMap(({ node, answer }) =>
    filtered(answer.images, options, filters).flatMap((image) => rowsOf(node, image)),
  );
  print(
    context,
    options,
    rows.filter(({ repository, tag }) => isNamed(name, repository, tag)),
  );
}

function print(context: Context, options: Options, rows: readonly Row[]): void {
  const idOf = ({ image }: Row) => (options.trunc ? shortImageId(image.id) : image.id);
  const digests: Column<Row> = {
    title: "DIGEST",
    of: ({ image }) => image.digests[0]?.split("@")[1] ?? "<none>",
  };
  printListing(context, options, {
    items: rows,
    id: idOf,
    columns: [
      { title: "NODE", of: ({ node }) => nodeName(node) },
      { title: "REPOSITORY", of: ({ repository }) => repository },
      { title: "TAG", of: ({ tag }) => tag },
      ...(options.digests ? [digests] : []),
      { title: "IMAGE ID", field: "ID", of: idOf },
      {
        title: "CREATED",
        field: "CreatedSince",
        of: ({ image }) => createdWords(image, context.io.clock.now()),
      },
      { title: "SIZE", of: ({ image }) => formatSize(Number(image.sizeBytes)) },
      { title: "IN USE", of: ({ image }) => (image.inUse ? "yes" : "") },
    ],
    fields: {
      Digest: digests.of,
      CreatedAt: ({ image }) => formatMoment(image.createdAt) || "N/A",
      SizeBytes: ({ image }) => Number(image.sizeBytes),
    },
  });
}

/** A row for each tag; an image without one has one row. */
function rowsOf(node: Node, image: Image): readonly Row[] {
  if (image.references.length === 0) {
    const repository = familiarName(image.digests[0]?.split("@")[0] ?? "<none>");
    return [{ node, image, repository, tag: "<none>" }];
  }
  return image.references.map((reference) => {
    const [repository, tag] = splitTag(familiarName(reference));
    return { node, image, repository, tag };
  });
}

function createdWords({ createdAt }: Pick<Image, "createdAt">, nowMs: number): string {
  return createdAt === undefined ? "N/A" : formatAgo(msFromTimestamp(createdAt), nowMs);
}

function isNamed(name: string | undefined, repository: string, tag: string): boolean {
  if (name === undefined) return true;
  const wanted = familiarName(name);
  return wanted === repository || wanted === `${repository}:${tag}`;
}

const filters: Filters<Image> = {
  dangling: (image, value) => (image.references.length === 0) === isTrue(value),
  "in-use": (image, value) => image.inUse === isTrue(value),
  reference: ({ references }, value) =>
    references.some((reference) => {
      const name = familiarName(reference);
      return isNamed(value, ...splitTag(name)) || matches(name, value);
    }),
};

/** "*" stands for anything but a slash. */
function matches(name: string, pattern: string): boolean {
  const parts = pattern.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join("[^/]*")}$`).test(name);
}
