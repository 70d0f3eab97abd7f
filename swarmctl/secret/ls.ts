import { toJson } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { type Secret, SecretSchema } from "#proto/gen/swarm/v1/objects_pb.ts";
import { msFromTimestamp } from "#proto/time.ts";
import type { Context } from "../context.ts";
import { formatAgo } from "../output/age.ts";
import { addFilterFlag, type FilterFlag, passes } from "../object-filter.ts";
import { addListingFlags, type ListingOptions, printListing } from "../output/listing.ts";
import { compareText } from "../output/table.ts";

interface Options extends ListingOptions, FilterFlag {}

export function define(command: Command, context: Context): void {
  addFilterFlag(addListingFlags(command)).action(async (options: Options) => {
    const control = await context.control(options);
    const { secrets } = await control.listSecrets({});
    const nowMs = context.io.clock.now();
    printListing(context, options, {
      items: secrets
        .filter((secret) => passes(secret, options))
        .toSorted((a, b) => compareText(nameOf(a), nameOf(b))),
      id: (secret) => secret.id,
      json: (secret) => toJson(SecretSchema, secret),
      columns: [
        { title: "ID", of: (secret) => secret.id },
        { title: "NAME", of: nameOf },
        { title: "DRIVER", of: ({ spec }) => spec?.driver?.name ?? "" },
        { title: "CREATED", of: ({ meta }) => formatAgo(msFromTimestamp(meta?.createdAt), nowMs) },
        { title: "UPDATED", of: ({ meta }) => formatAgo(msFromTimestamp(meta?.updatedAt), nowMs) },
      ],
    });
  });
}

function nameOf(secret: Secret): string {
  return secret.spec?.annotations?.name ?? secret.id;
}
