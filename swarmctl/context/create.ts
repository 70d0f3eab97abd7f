import type { Command } from "commander";
import type { Context } from "../context.ts";
import { flags } from "../flags/parse-flag.ts";
import { checkContextName } from "./context-folder.ts";
import { parseAddress } from "./saved-context.ts";

interface Options {
  readonly manager?: string[];
}

export function define(command: Command, context: Context): void {
  command
    .argument("<name>", "what the context is called; also the user's name in its certificate")
    .option(
      "--manager <host[:port]>",
      "where to reach a manager (repeat; default: all that there are)",
      flags(parseAddress),
    )
    .action(async (name: string, { manager }: Options) => {
      checkContextName(name);
      const folder = context.contexts();
      await folder.refuseTaken(name);
      const control = await context.control();
      const { createCertificateRequest } = await import("#proto/tls/certificate-request.ts");
      const { key, csr } = await createCertificateRequest();
      const reply = await control.issueUserCertificate({ name, csr });
      const { clusterId, certificate, caCertificates } = reply;
      const managers = manager ?? reply.managers;
      await folder.add(name, { clusterId, managers, caCertificates, certificate, key });
      context.print(name);
      context.io.stderr.write(`Successfully created context "${name}"\n`);
    });
}
