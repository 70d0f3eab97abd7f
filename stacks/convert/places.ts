/** Where in the file stands what managers refuse. They speak of the spec: `endpoint.ports[0] publishes port 80/tcp a second time`. */
import { describePlace } from "#proto/yaml/node.ts";
import type { StackNoun } from "../stack.ts";
import type { StackContext } from "./reader.ts";

export interface Refused {
  readonly noun: StackNoun;
  /** In the cluster. */
  readonly name: string;
  readonly complaint: string;
}

const sections = {
  service: "services",
  network: "networks",
  secret: "secrets",
  config: "configs",
} as const;

/** Keys of services for what the spec calls otherwise; each line's first that the file has is meant. */
const keysOf: Readonly<Record<string, readonly (readonly string[])[]>> = {
  args: [["command"]],
  autoscale: [["deploy", "x-autoscale"]],
  command: [["entrypoint"]],
  dir: [["working_dir"]],
  env: [["environment"]],
  health: [["healthcheck"]],
  log_driver: [["logging"]],
  mounts: [["volumes"], ["tmpfs"]],
  placement: [["deploy", "placement"]],
  privileges: [["security_opt"]],
  resources: [["deploy", "resources"]],
  restart: [["deploy", "restart_policy"], ["restart"]],
  rollback: [["deploy", "rollback_config"]],
  schedule: [["deploy", "x-schedule"]],
  update: [["deploy", "update_config"]],
};

/** Undefined where the file does not have it. */
export function placeOf(context: StackContext, refused: Refused): string | undefined {
  const { noun, name, complaint } = refused;
  const section = sections[noun];
  const key = Object.keys(context.content[section] ?? {}).find(
    (one) =>
      name === one || name === `${context.name}_${one}` || nameIn(context, section, one) === name,
  );
  if (key === undefined) return undefined;
  const path = [section, key];
  const within = noun === "service" ? pathsWithin(complaint) : [];
  const at = within.find((one) => context.document.has([...path, ...one])) ?? [];
  return describePlace(context.document.place([...path, ...at]));
}

function nameIn(context: StackContext, section: string, key: string): string | undefined {
  return context.document.text([section, key, "name"]);
}

/** The paths below a service that may be meant, the likeliest first. */
function pathsWithin(complaint: string): readonly (readonly string[])[] {
  const [, field = "", index] =
    /^(?:task\.)?(?:container\.|endpoint\.)?([a-z_]+)(?:\[(\d+)\])?/.exec(complaint) ?? [];
  const paths = keysOf[field] ?? [[field]];
  const items = index === undefined ? [] : paths.map((path) => [...path, index]);
  return [...items, ...paths];
}
