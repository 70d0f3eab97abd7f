import type { Command } from "commander";
import { Fault } from "#proto/fault.ts";
import { identityOf, parseCertificate } from "#proto/tls/certificate.ts";
import type { Context } from "../context.ts";
import { flags } from "../flags/parse-flag.ts";
import { parseAddress } from "./saved-context.ts";

interface Options {
  readonly manager?: string[];
}

export function define(command: Command, context: Context): void {
  command
    .argument("<name>", "the context")
    .option(
      "--manager <host[:port]>",
      "where to reach a manager from now on (repeat; left out: the cluster is asked, and for a new certificate)",
      flags(parseAddress),
    )
    .action(async (name: string, { manager: managers }: Options) => {
      const folder = context.contexts();
      const saved = await folder.load(name);
      const changed = managers === undefined ? await renewed(context, name) : { managers };
      await folder.replace(name, { ...saved, ...changed });
      context.print(name);
      context.io.stderr.write(`Successfully updated context "${name}"\n`);
    });
}

/** As the user whom the certificate names, who is known by it. */
async function renewed(context: Context, contextName: string) {
  const { certificate: before } = await context.contexts().load(contextName);
  const identity = identityOf(parseCertificate(before));
  if (identity?.kind !== "user") {
    throw new Fault("failed-precondition", `The context "${contextName}" names no user`);
  }
  context.useFlags({ context: contextName });
  const control = await context.control();
  const { createCertificateRequest } = await import("#proto/tls/certificate-request.ts");
  const { key, csr } = await createCertificateRequest();
  const { name } = identity;
  const reply = await control.issueUserCertificate({ name, csr });
  const { clusterId, certificate, caCertificates, managers } = reply;
  return { clusterId, managers, caCertificates, certificate, key };
}
