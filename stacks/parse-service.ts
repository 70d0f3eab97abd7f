/** One service of a stack file → its ServiceSpec. */
import { create } from "@bufbuild/protobuf";
import {
  type ContainerSpec,
  ContainerSpecSchema,
  type ServiceSpec,
  ServiceSpecSchema,
  TaskSpecSchema,
} from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  type Driver,
  DriverSchema,
  type HealthConfig,
  type NetworkAttachmentConfig,
  NetworkAttachmentConfigSchema,
  RestartCondition,
  type RestartPolicy,
  RestartPolicySchema,
} from "#proto/gen/swarm/v1/types_pb.ts";
import type { Duration } from "@bufbuild/protobuf/wkt";
import { parseLogDriver } from "#proto/log-driver.ts";
import { isLocalNetworkName } from "#proto/main-network.ts";
import { parseHealthcheck } from "./parse-healthcheck.ts";
import { containerFields, resourceRequirements } from "./parse-container.ts";
import { parseReferences } from "./parse-files.ts";
import { parseMounts } from "./parse-mounts.ts";
import { defaultNetwork, networkName } from "./parse-networks.ts";
import { parseEndpoint } from "./parse-ports.ts";
import { parseNotNegative, parseUpdate } from "./parse-update.ts";
import { recordOf } from "./record-of.ts";
import { parseShellWords } from "./shell-words.ts";
import { imageLabel, isName, namespaceLabel } from "./stack.ts";
import type {
  AttachmentEntry,
  HealthcheckEntry,
  RestartPolicyEntry,
  ServiceEntry,
} from "./compose/compose-file.ts";
import type { Path } from "./compose/node.ts";
import { at, type StackContext } from "./stack-context.ts";

const conditions = {
  none: RestartCondition.NONE,
  "on-failure": RestartCondition.ON_FAILURE,
  any: RestartCondition.ANY,
} as const;

export function parseService(context: StackContext, key: string): ServiceSpec {
  const path = ["services", key];
  const name = `${context.name}_${key}`;
  const entry = context.content.services[key];
  if (entry === undefined) throw context.document.fault(path, "is missing");
  if (!isName(key)) {
    throw context.document.fault(path, "is not a name for a service: use letters, digits, - and _");
  }
  const resources = resourceRequirements(
    context,
    [...path, "deploy", "resources"],
    entry.deploy?.resources ?? {},
  );
  const endpoint = parseEndpoint(context, path, entry);
  const { update_config, rollback_config } = entry.deploy ?? {};
  const update = parseUpdate(context, [...path, "deploy", "update_config"], update_config);
  const rollback = parseUpdate(context, [...path, "deploy", "rollback_config"], rollback_config);
  const labels = { [namespaceLabel]: context.name, [imageLabel]: entry.image };
  return create(ServiceSpecSchema, {
    annotations: { name, labels },
    mode: { case: "replicated", value: { replicas: BigInt(entry.deploy?.replicas ?? 1) } },
    ...(endpoint !== undefined && { endpoint }),
    ...(update !== undefined && { update }),
    ...(rollback !== undefined && { rollback }),
    task: create(TaskSpecSchema, {
      runtime: { case: "container", value: containerSpec(context, path, entry) },
      restart: restartPolicy(
        context,
        [...path, "deploy", "restart_policy"],
        entry.deploy?.restart_policy,
      ),
      networks: networkAttachments(context, key, entry),
      ...(resources !== undefined && { resources }),
      ...(entry.logging !== undefined && { logDriver: logDriver(context, path, entry.logging) }),
    }),
  });
}

function logDriver(
  context: StackContext,
  path: Path,
  { driver = "", options }: NonNullable<ServiceEntry["logging"]>,
): Driver {
  const place = [...path, "logging", "options"];
  const given = create(DriverSchema, { name: driver, options: recordOf(context, place, options) });
  at(context, [...path, "logging"], () => parseLogDriver(given));
  return given;
}

function containerSpec(context: StackContext, path: Path, entry: ServiceEntry): ContainerSpec {
  const environment = recordOf(context, [...path, "environment"], entry.environment);
  const plain = create(ContainerSpecSchema, {
    image: entry.image,
    labels: { [namespaceLabel]: context.name },
    command: wordsOf(context, [...path, "entrypoint"], entry.entrypoint),
    args: wordsOf(context, [...path, "command"], entry.command),
    // Sorted, so that moving a line in the file changes nothing.
    env: Object.entries(environment)
      .map(([name, value]) => `${name}=${value}`)
      .toSorted(),
    hostname: entry.hostname ?? "",
    pidsLimit: BigInt(entry.deploy?.resources?.limits?.pids ?? 0),
    ...(entry.healthcheck !== undefined && {
      healthcheck: healthcheck(context, [...path, "healthcheck"], entry.healthcheck),
    }),
  });
  return {
    ...plain,
    ...containerFields(context, path, entry),
    ...parseReferences(context, path, entry),
    mounts: parseMounts(context, path, entry),
  };
}

function healthcheck(context: StackContext, path: Path, entry: HealthcheckEntry): HealthConfig {
  return at(context, path, () => parseHealthcheck(entry));
}

function wordsOf(context: StackContext, path: Path, words: ServiceEntry["command"]): string[] {
  if (words === undefined) return [];
  if (typeof words !== "string") return [...words];
  return at(context, path, () => parseShellWords(words));
}

function restartPolicy(
  context: StackContext,
  path: Path,
  entry: RestartPolicyEntry = {},
): RestartPolicy {
  const durationAt = (key: "delay" | "window"): Duration | undefined => {
    const text = entry[key];
    return text === undefined
      ? undefined
      : at(context, [...path, key], () => parseNotNegative(text));
  };
  const delay = durationAt("delay");
  const window = durationAt("window");
  return create(RestartPolicySchema, {
    condition: conditions[entry.condition ?? "any"],
    maxAttempts: BigInt(entry.max_attempts ?? 0),
    ...(delay !== undefined && { delay }),
    ...(window !== undefined && { window }),
  });
}

/** The service answers to its short name on each of its networks, but for those of each host, where nobody asks. */
function networkAttachments(
  context: StackContext,
  service: string,
  entry: ServiceEntry,
): NetworkAttachmentConfig[] {
  const path = ["services", service, "networks"];
  return attachmentEntries(entry)
    .map(({ key, place, aliases = [], ...given }) => {
      const target = networkName(context, key, [...path, place]);
      const own = isLocalNetworkName(target) ? [] : [service];
      return create(NetworkAttachmentConfigSchema, {
        target,
        aliases: [...new Set([...aliases, ...own])],
        addresses: [given.ipv4_address ?? [], given.ipv6_address ?? []].flat(),
      });
    })
    .toSorted((a, b) => (a.target < b.target ? -1 : 1));
}

interface Attachment extends AttachmentEntry {
  readonly key: string;
  /** The last segment of its path in the file. */
  readonly place: string;
}

function attachmentEntries({ networks }: ServiceEntry): Attachment[] {
  const entries = isList(networks)
    ? networks.map((key, index) => ({ key, place: String(index) }))
    : Object.entries(networks ?? {}).map(([key, entry]) => ({ key, place: key, ...entry }));
  return entries.length > 0 ? entries : [{ key: defaultNetwork, place: defaultNetwork }];
}

/** `Array.isArray` does not narrow readonly arrays. */
function isList(networks: ServiceEntry["networks"]): networks is readonly string[] {
  return Array.isArray(networks);
}
