import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import { identityOf, parseCertificate, validityOf } from "#proto/tls/certificate.ts";
import type { Context } from "../context.ts";
import { listFormatOption } from "../output/format.ts";
import { type ListingOptions, printListing } from "../output/listing.ts";
import { type ContextFolder, defaultContextName } from "./context-folder.ts";

interface Row {
  readonly name: string;
  readonly managers: readonly string[];
  readonly clusterId: string;
  readonly user: string;
  readonly expiresAt: string;
  /** Why the context cannot be used. */
  readonly error: string;
}

const nothing = { managers: [], clusterId: "", user: "", expiresAt: "", error: "" };

export function define(command: Command, context: Context): void {
  command
    .addOption(listFormatOption())
    .option("-q, --quiet", "print only names, one per line")
    .action(async (options: ListingOptions) => {
      const folder = context.contexts();
      const inUse = await context.contextName();
      const rows: Row[] = [{ ...nothing, name: defaultContextName }];
      for (const name of await folder.names()) rows.push(await readRow(folder, name));
      printListing<Row>(context, options, {
        items: rows,
        id: (row) => row.name,
        columns: [
          { title: "NAME", of: ({ name }) => (name === inUse ? `${name} *` : name) },
          { title: "MANAGERS", of: managersWord },
          { title: "CLUSTER ID", of: (row) => row.clusterId },
          { title: "USER", of: (row) => row.user },
          { title: "EXPIRES", of: (row) => row.expiresAt },
          { title: "ERROR", of: (row) => row.error },
        ],
        fields: { Name: ({ name }) => name, Current: ({ name }) => name === inUse },
      });
    });
}

async function readRow(folder: ContextFolder, name: string): Promise<Row> {
  try {
    const { managers, clusterId, certificate } = await folder.load(name);
    const parsed = parseCertificate(certificate);
    const identity = identityOf(parsed);
    const user = identity?.kind === "user" ? identity.name : "";
    const expiresAt = new Date(validityOf(parsed).notAfterMs).toISOString();
    return { ...nothing, name, managers, clusterId, user, expiresAt };
  } catch (thrown) {
    return { ...nothing, name, error: Fault.from(thrown).message };
  }
}

function managersWord({ name, managers }: Row): string {
  return name === defaultContextName ? "(this host)" : managers.join(", ");
}
