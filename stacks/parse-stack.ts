/** A stack file → its Stack. Pure: nothing is read and nobody asked. */
import { parseFiles } from "./parse-files.ts";
import { parseNetworks } from "./parse-networks.ts";
import { parseService } from "./parse-service.ts";
import { parseStackName, type Stack } from "./stack.ts";
import { loadCompose } from "./compose/load-compose.ts";

export interface StackSource {
  /** What the stack shall be called. */
  readonly name: string;
  /** What refusals call the file. */
  readonly file: string;
  readonly text: string;
  /** The file's folder. */
  readonly folder?: string;
}

export function parseStack(source: StackSource): Stack {
  const context = {
    name: parseStackName(source.name),
    folder: source.folder ?? "/",
    ...loadCompose(source.text, source.file),
  };
  const entries = Object.entries(context.content.services);
  const services = entries.map(([key]) => parseService(context, key));
  const targets = services.flatMap((spec) => spec.task?.networks ?? []);
  const used = new Set(targets.map((attachment) => attachment.target));
  const secrets = parseFiles(context, "secrets");
  const configs = parseFiles(context, "configs");
  return {
    name: context.name,
    services,
    unscaled: new Set(
      entries
        .filter(([, { deploy }]) => deploy?.replicas === undefined)
        .map(([key]) => `${context.name}_${key}`),
    ),
    ...parseNetworks(context, used),
    secrets: secrets.made,
    externalSecrets: secrets.external,
    configs: configs.made,
    externalConfigs: configs.external,
  };
}
