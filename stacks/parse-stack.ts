/** A stack file → its Stack. Pure: nothing is read and nobody asked. */
import { parseNetworks } from "./parse-networks.ts";
import { parseService } from "./parse-service.ts";
import { parseStackName, type Stack } from "./stack.ts";
import { parseStackFile } from "./stack-file.ts";

export interface StackSource {
  /** What the stack shall be called. */
  readonly name: string;
  /** What refusals call the file. */
  readonly file: string;
  readonly text: string;
}

export function parseStack(source: StackSource): Stack {
  const context = {
    name: parseStackName(source.name),
    ...parseStackFile(source.text, source.file),
  };
  const keys = Object.keys(context.content.services);
  const services = keys.map((key) => parseService(context, key));
  const targets = services.flatMap((spec) => spec.task?.networks ?? []);
  const used = new Set(targets.map((attachment) => attachment.target));
  return { name: context.name, services, ...parseNetworks(context, used) };
}
