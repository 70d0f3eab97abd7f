/** A loaded stack file → the stack: specs of what it makes, names of what it expects. Pure: nothing is read and nobody asked. */
import { parseStackName, type Stack } from "../stack.ts";
import { startOrder } from "./dependencies.ts";
import { filesOf } from "./files.ts";
import { refuseUnhonoured } from "./honoured.ts";
import { replicasOf } from "./mode.ts";
import { networksOf } from "./networks.ts";
import { placeOf } from "./places.ts";
import { Reader, type StackContext } from "./reader.ts";
import { serviceSpec } from "./service.ts";

/** `context.name`: what the stack shall be called. */
export function toStack(context: StackContext): Stack {
  const name = parseStackName(context.name);
  refuseUnhonoured(context);
  const { services: entries } = context.content;
  const services = startOrder(context).flatMap((key) => {
    const entry = entries[key];
    return entry === undefined ? [] : serviceSpec(context, key, entry);
  });
  const targets = services.flatMap((spec) => spec.task?.networks ?? []);
  const secrets = filesOf(context, "secrets");
  const configs = filesOf(context, "configs");
  const unscaled = Object.entries(entries)
    .filter(
      ([key, entry]) => replicasOf(new Reader(context, ["services", key]), entry) === undefined,
    )
    .map(([key]) => `${name}_${key}`);
  return {
    name,
    services,
    unscaled: new Set(unscaled),
    ...networksOf(context, new Set(targets.map(({ target }) => target))),
    secrets: secrets.made,
    externalSecrets: secrets.external,
    configs: configs.made,
    externalConfigs: configs.external,
    placeOf: (noun, name, complaint) => placeOf(context, { noun, name, complaint }),
  };
}
