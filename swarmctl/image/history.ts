import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import type { GetImageResponse } from "#proto/gen/swarm/v1/engine_pb.ts";
import type { Context } from "../context.ts";
import { formatAgo } from "../output/age.ts";
import { listFormatOption } from "../output/format.ts";
import { type ListingOptions, printListing } from "../output/listing.ts";
import { formatSize } from "../output/size.ts";
import { truncate } from "../output/table.ts";
import { addNodeFlag, type NodeFlag } from "../node-call.ts";
import { shortImageId, whereThere } from "./on-nodes.ts";

interface Options extends ListingOptions, NodeFlag {
  readonly trunc: boolean;
  readonly human: boolean;
}

interface Step {
  readonly id: string;
  readonly created: string;
  readonly createdBy: string;
  readonly comment: string;
  readonly sizeBytes: bigint;
}

/** As wide as Docker's. */
const createdByWidth = 45;

export function define(command: Command, context: Context): void {
  addNodeFlag(command)
    .argument("<image>", "name, ID, or beginning of an ID")
    .addOption(listFormatOption())
    .option("-H, --human", "sizes and times for people, which is the default", true)
    .option("--no-human", "sizes in bytes, times as they are written")
    .option("-q, --quiet", "print only IDs, one per line")
    .option("--no-trunc", "print all in full")
    .action(async (ref: string, options: Options) => {
      const [first] = await whereThere(context, options, ref, (client) => client.getImage({ ref }));
      if (first === undefined) throw new Fault("not-found", `There is no image "${ref}"`);
      const steps = stepsOf(first.answer);
      const nowMs = context.io.clock.now();
      const short = (text: string) => (options.trunc ? truncate(text, createdByWidth) : text);
      printListing(context, options, {
        items: steps,
        id: ({ id }) => (options.trunc ? shortImageId(id) : id),
        columns: [
          { title: "IMAGE", field: "ID", of: ({ id }) => (options.trunc ? shortImageId(id) : id) },
          {
            title: "CREATED",
            field: "CreatedSince",
            of: ({ created }) => (options.human ? agoWords(created, nowMs) : created),
          },
          { title: "CREATED BY", of: ({ createdBy }) => short(createdBy) },
          {
            title: "SIZE",
            of: ({ sizeBytes }) =>
              options.human ? formatSize(Number(sizeBytes)) : String(sizeBytes),
          },
          { title: "COMMENT", of: ({ comment }) => comment },
        ],
        fields: {
          CreatedAt: ({ created }) => created,
          SizeBytes: ({ sizeBytes }) => Number(sizeBytes),
        },
      });
    });
}

/** The newest first. Steps that changed no file have no layer; the image's ID stands at the newest step. */
function stepsOf({ image, config, layers }: GetImageResponse): readonly Step[] {
  const left = [...layers];
  const steps = historyOf(config).map((entry) => ({
    id: "<missing>",
    created: textOf(entry["created"]),
    createdBy: textOf(entry["created_by"]),
    comment: textOf(entry["comment"]),
    sizeBytes: entry["empty_layer"] === true ? 0n : (left.shift()?.sizeBytes ?? 0n),
  }));
  const untold = left.map(({ sizeBytes }) => ({
    id: "<missing>",
    created: "",
    createdBy: "",
    comment: "",
    sizeBytes,
  }));
  const [newest, ...others] = [...steps, ...untold].toReversed();
  return newest === undefined ? [] : [{ ...newest, id: image?.id ?? newest.id }, ...others];
}

/** Of the image's config, whose author may have written anything. */
function historyOf(config: string): readonly Readonly<Record<string, unknown>>[] {
  const document: unknown = JSON.parse(config);
  if (typeof document !== "object" || document === null || !("history" in document)) return [];
  const { history } = document;
  if (!Array.isArray(history)) return [];
  return history.filter((entry) => typeof entry === "object" && entry !== null);
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function agoWords(created: string, nowMs: number): string {
  const atMs = Date.parse(created);
  return Number.isFinite(atMs) ? formatAgo(atMs, nowMs) : "N/A";
}
