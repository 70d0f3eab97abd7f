/** Placeholders in a service: where Swarm allows them they must have a meaning; they are filled in on the nodes. Pure. */
import type { ContainerSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import { isTemplate, labelsOf, parseTemplate } from "#proto/template.ts";
import { invalid, parsed } from "./field.ts";

/** In values of variables, the hostname, mounts' sources and targets, and volumes' labels and options. */
export function checkTemplates(
  path: string,
  container: ContainerSpec,
  labels: Readonly<Record<string, string>>,
): void {
  for (const [where, text] of templatedTexts(path, container)) {
    if (!isTemplate(text)) continue;
    const template = parsed(where, () => parseTemplate(text, "spec"));
    for (const key of labelsOf(template)) {
      if (Object.hasOwn(labels, key)) continue;
      throw invalid(where, `uses the label "${key}", which the service does not have`);
    }
  }
}

function* templatedTexts(path: string, container: ContainerSpec): Iterable<[string, string]> {
  for (const [index, entry] of container.env.entries()) {
    yield [`${path}.env[${index}]`, entry.slice(entry.indexOf("=") + 1)];
  }
  yield [`${path}.hostname`, container.hostname];
  for (const [index, { source, target, volumeOptions }] of container.mounts.entries()) {
    const where = `${path}.mounts[${index}]`;
    yield [`${where}.source`, source];
    yield [`${where}.target`, target];
    const options = volumeOptions?.driverConfig?.options ?? {};
    for (const [key, value] of Object.entries(volumeOptions?.labels ?? {})) {
      yield [`${where}.volume_options.labels.${key}`, value];
    }
    for (const [key, value] of Object.entries(options)) {
      yield [`${where}.volume_options.driver_config.options.${key}`, value];
    }
  }
}
