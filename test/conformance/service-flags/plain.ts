/**
 * A service's spec in one form, whoever wrote it: Docker's names, defaults filled in, without what says nothing (empty
 * lists, zeros, false), lists whose order means nothing in order. Durations are in nanoseconds.
 */
import type { Duration } from "@bufbuild/protobuf/wkt";
import type { ContainerSpec, ServiceSpec, TaskSpec } from "#proto/gen/swarm/v1/specs_pb.ts";
import {
  EndpointMode,
  type FileTarget,
  type Mount,
  MountPropagation,
  MountType,
  PortProtocol,
  PublishMode,
  type Resources,
  RestartCondition,
  type RestartPolicy,
  type UpdateConfig,
  UpdateFailureAction,
  UpdateOrder,
} from "#proto/gen/swarm/v1/types_pb.ts";

type Json = Record<string, unknown>;

const second = 1_000_000_000;

/** Of what Docker's CLI sends. */
export function plainDocker(answer: unknown): unknown {
  const spec = fieldsOf(answer);
  const task = fieldsOf(spec["TaskTemplate"]);
  const container = fieldsOf(task["ContainerSpec"]);
  const mode = Object.entries(fieldsOf(spec["Mode"]))[0] ?? ["Replicated", {}];
  return withoutNothing({
    ...spec,
    Mode: plainMode(mode[0], fieldsOf(mode[1])),
    TaskTemplate: {
      ...task,
      ContainerSpec: {
        ...container,
        Secrets: listOf(container["Secrets"]).map((secret) => without(secret, "SecretID")),
        Configs: listOf(container["Configs"]).map((config) => without(config, "ConfigID")),
        StopGracePeriod: container["StopGracePeriod"] ?? 10 * second,
      },
      RestartPolicy: plainRestart(fieldsOf(task["RestartPolicy"]), mode[0]),
    },
    UpdateConfig: plainUpdate(spec["UpdateConfig"]),
    RollbackConfig: plainUpdate(spec["RollbackConfig"]),
  });
}

/** Of ours. */
export function plainOurs(spec: ServiceSpec): unknown {
  const mode = modeOf(spec);
  return withoutNothing({
    Name: spec.annotations?.name,
    Labels: spec.annotations?.labels,
    Mode: plainMode(mode[0], mode[1]),
    TaskTemplate: spec.task && {
      ...taskOf(spec.task),
      RestartPolicy: plainRestart(restartOf(spec.task.restart), mode[0]),
    },
    UpdateConfig: spec.update && plainUpdate(updateOf(spec.update)),
    RollbackConfig: spec.rollback && plainUpdate(updateOf(spec.rollback)),
    EndpointSpec: {
      Mode: spec.endpoint?.mode === EndpointMode.DNSRR ? "dnsrr" : "vip",
      Ports: spec.endpoint?.ports.map((port) => ({
        Protocol: wordOf(PortProtocol, port.protocol),
        TargetPort: port.targetPort,
        PublishedPort: port.publishedPort,
        PublishMode: wordOf(PublishMode, port.publishMode),
      })),
    },
  });
}

function taskOf(task: TaskSpec): Json {
  const { limits, reservations } = task.resources ?? {};
  const container = task.runtime.case === "container" ? task.runtime.value : undefined;
  return {
    ContainerSpec: container && containerOf(container),
    Resources: {
      Limits: { ...resourcesOf(limits), Pids: Number(container?.pidsLimit ?? 0n) },
      Reservations: {
        ...resourcesOf(reservations),
        GenericResources: reservations?.generic.map(({ resource }) => ({
          DiscreteResourceSpec: {
            Kind: resource.value?.kind,
            Value: Number(resource.value?.value),
          },
        })),
      },
    },
    Placement: {
      Constraints: task.placement?.constraints,
      Preferences: task.placement?.preferences.map(({ preference }) => ({
        Spread: { SpreadDescriptor: preference.value?.spreadDescriptor },
      })),
      MaxReplicas: Number(task.placement?.maxReplicas ?? 0n),
    },
    LogDriver: task.logDriver && { Name: task.logDriver.name, Options: task.logDriver.options },
    Networks: task.networks.map(({ target, aliases }) => ({ Target: target, Aliases: aliases })),
    ForceUpdate: Number(task.forceUpdate),
  };
}

function containerOf(container: ContainerSpec): Json {
  const { healthcheck: check, dnsConfig: dns } = container;
  return {
    Image: container.image,
    Labels: container.labels,
    Command: container.command,
    Args: container.args,
    Hostname: container.hostname,
    Env: container.env,
    Dir: container.dir,
    User: container.user,
    Groups: container.groups,
    Init: container.init,
    TTY: container.tty,
    ReadOnly: container.readOnly,
    StopSignal: container.stopSignal,
    StopGracePeriod: nanoseconds(container.stopGracePeriod) ?? 10 * second,
    Healthcheck: check && {
      Test: check.test,
      Interval: nanoseconds(check.interval),
      Timeout: nanoseconds(check.timeout),
      Retries: check.retries,
      StartPeriod: nanoseconds(check.startPeriod),
    },
    Hosts: container.hosts,
    DNSConfig: dns && { Nameservers: dns.nameservers, Search: dns.search, Options: dns.options },
    Mounts: container.mounts.map(mountOf),
    Secrets: container.secrets.map(({ secretName, file }) => ({
      SecretName: secretName,
      File: fileOf(file),
    })),
    Configs: container.configs.map(({ configName, file }) => ({
      ConfigName: configName,
      File: fileOf(file),
    })),
    Sysctls: container.sysctls,
    CapabilityAdd: container.capabilityAdd,
    CapabilityDrop: container.capabilityDrop,
    Ulimits: container.ulimits.map(({ name, soft, hard }) => ({
      Name: name,
      Soft: Number(soft),
      Hard: Number(hard),
    })),
  };
}

function mountOf({ type, source, target, readOnly, ...options }: Mount): Json {
  const { bindOptions: bind, volumeOptions: volume, tmpfsOptions: tmpfs } = options;
  return {
    Type: wordOf(MountType, type),
    Source: source,
    Target: target,
    ReadOnly: readOnly,
    BindOptions: bind && { Propagation: wordOf(MountPropagation, bind.propagation) },
    VolumeOptions: volume && { NoCopy: volume.noCopy, Labels: volume.labels },
    TmpfsOptions: tmpfs && { SizeBytes: Number(tmpfs.sizeBytes), Mode: tmpfs.mode },
  };
}

function fileOf(file: FileTarget | undefined): Json | undefined {
  return file && { Name: file.name, UID: file.uid, GID: file.gid, Mode: file.mode };
}

function resourcesOf(resources: Resources | undefined): Json {
  const { nanoCpus = 0n, memoryBytes = 0n } = resources ?? {};
  return { NanoCPUs: Number(nanoCpus), MemoryBytes: Number(memoryBytes) };
}

function restartOf(policy: RestartPolicy | undefined): Json {
  if (policy === undefined) return {};
  return {
    Condition: wordOf(RestartCondition, policy.condition),
    Delay: nanoseconds(policy.delay),
    MaxAttempts: Number(policy.maxAttempts),
    Window: nanoseconds(policy.window),
  };
}

function updateOf(config: UpdateConfig): Json {
  return {
    Parallelism: Number(config.parallelism),
    Delay: nanoseconds(config.delay),
    FailureAction: wordOf(UpdateFailureAction, config.failureAction ?? UpdateFailureAction.PAUSE),
    Monitor: nanoseconds(config.monitor),
    MaxFailureRatio: config.maxFailureRatio,
    Order: wordOf(UpdateOrder, config.order),
  };
}

function modeOf({ mode }: ServiceSpec): [string, Json] {
  switch (mode.case) {
    case "replicatedJob": {
      const { maxConcurrent, totalCompletions } = mode.value;
      const numbers = {
        MaxConcurrent: Number(maxConcurrent),
        TotalCompletions: Number(totalCompletions),
      };
      return ["ReplicatedJob", numbers];
    }
    case "replicated":
      return ["Replicated", { Replicas: Number(mode.value.replicas) }];
    default:
      return [mode.case === "global" ? "Global" : "GlobalJob", {}];
  }
}

/** As the daemon fills it in. */
function plainMode(name: string, numbers: Json): Json {
  const { MaxConcurrent: concurrent = numbers["TotalCompletions"] ?? 1 } = numbers;
  if (name === "Replicated") return { [name]: shown(numbers["Replicas"] ?? 1) };
  if (name !== "ReplicatedJob") return { [name]: "each node" };
  return { [name]: shown([concurrent, numbers["TotalCompletions"] ?? concurrent]) };
}

/** A job's tasks do not restart when they have ended well, whatever is said. */
function plainRestart(policy: Json, mode: string): Json {
  const usual = mode.endsWith("Job") ? "on-failure" : "any";
  return {
    Condition: policy["Condition"] ?? usual,
    Delay: shown(policy["Delay"] ?? 5 * second),
    MaxAttempts: policy["MaxAttempts"],
    Window: policy["Window"],
  };
}

function plainUpdate(config: unknown): unknown {
  if (config === undefined || config === null) return undefined;
  const said = fieldsOf(config);
  return {
    ...said,
    Parallelism: shown(said["Parallelism"] ?? 1),
    Monitor: said["Monitor"] ?? 5 * second,
    FailureAction: said["FailureAction"] ?? "pause",
    Order: said["Order"] ?? "stop-first",
  };
}

/** A number of which 0 says something. */
function shown(number: unknown): string {
  return JSON.stringify(number);
}

function without(fields: Json, name: string): Json {
  return Object.fromEntries(Object.entries(fields).filter(([key]) => key !== name));
}

function nanoseconds(duration: Duration | undefined): number | undefined {
  return duration && Number(duration.seconds) * second + duration.nanos;
}

/** "STOP_FIRST" is "stop-first". */
function wordOf(words: Readonly<Record<string, number>>, value: number): string | undefined {
  const [name] = Object.entries(words).find(([, number]) => number === value) ?? [];
  return name?.toLowerCase().replaceAll("_", "-");
}

function fieldsOf(value: unknown): Json {
  return typeof value === "object" && value !== null
    ? Object.fromEntries(Object.entries(value))
    : {};
}

function listOf(value: unknown): Json[] {
  return Array.isArray(value) ? value.map(fieldsOf) : [];
}

const ordered = ["Command", "Args", "Test"];

function withoutNothing(value: unknown, key = ""): unknown {
  if (Array.isArray(value)) {
    const items = value.map((item) => withoutNothing(item));
    return ordered.includes(key)
      ? items
      : items.toSorted((a, b) => compare(JSON.stringify(a), JSON.stringify(b)));
  }
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value)
    // Labels without a value are there all the same.
    .map(
      ([name, inner]) =>
        [name, key === "Labels" ? `=${inner}` : withoutNothing(inner, name)] as const,
    )
    .filter(([, inner]) => !isNothing(inner))
    .toSorted(([a], [b]) => compare(a, b));
  return Object.fromEntries(entries);
}

function isNothing(value: unknown): boolean {
  if (value === undefined || value === null || value === "" || value === 0 || value === false)
    return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
